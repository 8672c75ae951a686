"""A picture of what training does to images: some of them as they are, and beside each as the chosen model met it. It knows no stage."""

from __future__ import annotations

import numpy as np

from modelyard import parts
from modelyard.features import images
from modelyard.models._images import ImageModel
from modelyard.records.trained import Candidate, Trained
from modelyard.rows import Array
from modelyard.store import read_json, replacing
from modelyard.train.world import World

PLACE = "train/augmented.png"
SHOWN, TIMES = 4, 5
"""Images, and how often each is changed."""


def augmented(world: World, record: Trained) -> str | None:
    """Write the picture for the candidate that weighs most among those that change their training images; None where none does."""
    weights = record.weights
    for candidate in sorted(record.candidates, key=lambda one: (-weights.get(one.name, 0.0), one.name)):
        if weights.get(candidate.name) and candidate.jobs:
            model = parts.build("models", candidate.model, candidate.options)
            if isinstance(model, ImageModel) and model.augment.any:
                cells = _cells(world, candidate, model)
                if cells is not None:
                    with replacing(world.context.store.path(*PLACE.split("/"))) as temporary:
                        temporary.write_bytes(images.png(images.sheet(cells)))
                    return PLACE
    return None


def _cells(world: World, candidate: Candidate, model: ImageModel) -> Array | None:
    """(SHOWN, 1 + TIMES, C, S, S) uint8: training images, and each changed as often; None where there is no image."""
    import torch

    job = candidate.jobs[0]
    features = read_json(world.context.store.folder / job.folder / "features.json")
    given = world.rows[features["columns"][0]]
    order = np.random.default_rng(job.seed).permutation(world.folds[0].train)
    chosen = [place for place in order if given[place] is not None][:SHOWN]
    if not chosen:
        return None
    plain = model.encode(world.rows.take(chosen), features)["pixels"]  # (n, C, S, S)
    many = torch.from_numpy(np.repeat(plain, TIMES, axis=0))
    tensors, _ = model.changed({"pixels": many}, torch.Generator().manual_seed(job.seed))
    changed = np.clip(np.round(tensors["pixels"].numpy() * 255), 0, 255).astype(np.uint8)
    beside = changed.reshape(len(plain), TIMES, *plain.shape[1:])
    return np.concatenate([plain[:, None], beside], axis=1)[:, :, : features["channels"]]  # of the first column
