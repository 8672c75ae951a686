"""Build the folders of variants: each an artifact of its own, cached by key, written whole or not at all.

It knows nothing about parity and speed.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from modelyard.compress.methods._contract import Exportable, Method
from modelyard.parts import build
from modelyard.predictor import Artifact, Member
from modelyard.records._base import versions
from modelyard.rows import Rows
from modelyard.store import fingerprint, hash_tree, read_json, replacing_folder, write_json

NATIVE = "native"
"""The one variant where no member needs an export: a copy."""
TORCH_WEIGHTS = "weights.safetensors"
CALIBRATION_ROWS = 300
NOTE = "variant.json"
"""Beside `artifact.json`: the key, so that a resumed build takes the folder as it is. It is not shipped."""
TOUCHES = ("torch", "transformers", "onnx", "onnxruntime", "openvino")
"""Libraries that change what an export holds."""


@dataclass(frozen=True)
class Recipe:
    """One variant to be made: a method with its options; without a method, a copy."""

    name: str
    options: dict[str, Any]
    method: Method | None

    def key(self, trained: dict[str, str], sources: str) -> str:
        """Changes with the trained files, the options, the code and the libraries."""
        libraries = {
            name: version for name, version in versions().items() if name in TOUCHES and self.method is not None
        }
        return fingerprint([self.name, self.options, sorted(trained.items()), sources, libraries])


def recipes(
    members: Sequence[Member], wanted: dict[str, dict[str, Any]] | None, available: Sequence[str]
) -> list[Recipe]:
    """The variants to try: those asked for, or every method that applies to all members that need one."""
    models = [build("models", member.model, member.options) for member in members if needs_export(member)]
    if not models:
        return [Recipe(NATIVE, {}, None)]
    asked = wanted if wanted is not None else {name: {} for name in available}
    found = []
    for name, options in asked.items():
        method = build("compress.methods", name, options)
        if wanted is not None or all(method.applies(model) for model in models):
            found.append(Recipe(name, method.model_dump(mode="json"), method))
    return found


def needs_export(member: Member) -> bool:
    """Whether the member still answers through torch."""
    return member.session == "torch"


def make(
    recipe: Recipe, trained: Artifact, source: Path, folder: Path, *, key: str, exportables: Callable[[int], Exportable]
) -> None:
    """Fill `folder` unless it already holds this key. `exportables(place)` opens the member at that place."""
    note = folder / NOTE
    if note.exists() and read_json(note)["key"] == key:
        return
    with replacing_folder(folder) as temporary:
        members = []
        for place, member in enumerate(trained.members):
            target = temporary / member.folder
            target.mkdir(parents=True)
            if recipe.method is None or not needs_export(member):
                _copy(source / member.folder, target, leave=())
                members.append(member)
                continue
            _copy(source / member.folder, target, leave=(TORCH_WEIGHTS,))
            options = recipe.method.export(exportables(place), target)
            members.append(member.model_copy(update={"session": recipe.method.session, "session_options": options}))
        trained.model_copy(update={"members": tuple(members)}).save(temporary)
        write_json(temporary / NOTE, {"key": key})


def _copy(source: Path, target: Path, *, leave: Sequence[str]) -> None:
    """Files of a member; hard links where the file system has them (every writer replaces files, none changes them)."""
    for file in sorted(source.rglob("*")):
        relative = file.relative_to(source)
        if file.is_dir() or relative.name in leave or relative.name.startswith("."):
            continue
        (target / relative).parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(file, target / relative)
        except OSError:
            shutil.copyfile(file, target / relative)


def contents(folder: Path) -> dict[str, str]:
    """Hashes of an artifact's files."""
    return {name: value for name, value in hash_tree(folder).items() if name != NOTE}


def size(folder: Path) -> int:
    """Bytes of an artifact."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and file.name != NOTE)


class Workbench:
    """Opens trained members for export, each once, with encoded training rows as examples."""

    def __init__(self, trained: Artifact, source: Path, rows: Rows, workshop: Path, *, seed: int, threads: int) -> None:
        chosen = np.sort(np.random.default_rng(seed).permutation(len(rows))[:CALIBRATION_ROWS])
        self._trained, self._source, self._rows, self._workshop = trained, source, rows.take(chosen), workshop
        self._opened: dict[int, Exportable] = {}
        self._threads = threads

    def __call__(self, place: int) -> Exportable:
        """The member at that place of the artifact."""
        if place not in self._opened:
            self._opened[place] = self._open(self._trained.members[place], self._workshop / str(place))
        return self._opened[place]

    def _open(self, member: Member, workshop: Path) -> Exportable:
        import torch

        from modelyard.sessions.torch import load_module

        torch.set_num_threads(self._threads)

        workshop.mkdir()
        folder, state = self._source / member.folder, self._trained.state
        model = build("models", member.model, member.options)
        features = read_json(folder / "features.json")

        def open_module() -> Any:
            module = load_module(folder, model, features, state)
            for inner in module.children():
                # fused attention in place of the eager kind that trains fastest: the same function, and exported int8 with it
                # was 1.5 times as fast and nearer to the original (MiniLM, OpenVINO 2026.4)
                if hasattr(inner, "set_attn_implementation"):
                    inner.set_attn_implementation("sdpa")
            return module

        return Exportable(
            model=model,
            open_module=open_module,
            state=state,
            examples=model.encode(self._rows, features),
            workshop=workshop,
        )
