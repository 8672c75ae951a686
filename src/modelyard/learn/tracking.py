"""Learning curves beside the record: TensorBoard where it is installed, MLflow where it is asked for.

    logs/tensorboard/<name>/   event files; `tensorboard --logdir logs/tensorboard` shows a run a name
    logs/mlflow/               MLflow's own store, where no server is named
    logs/mlflow.runs/<name>    the id of the run there or on the server, so that a training started again goes on in it

It knows nothing about training: it is handed each `Epoch`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from modelyard.errors import MissingExtra
from modelyard.records.trained import Epoch

SCALARS = ("train_loss", "validation_loss", "train_metric", "validation_metric", "learning_rate")


def _scalars(epoch: Epoch) -> dict[str, float]:
    """What a validation measured, by name."""
    known = {name: getattr(epoch, name) for name in SCALARS}
    known |= {f"loss_{turn}": value for turn, value in epoch.losses.items()}
    return {name: value for name, value in known.items() if value is not None}


class Tracker(Protocol):
    """Where epochs are logged."""

    def log(self, epoch: Epoch) -> None:
        """Note one validation."""

    def close(self) -> None:
        """Flush and let go."""


def open_trackers(kinds: Sequence[str], folder: Path, name: str, *, step: int) -> list[Tracker]:
    """The trackers asked for; each training (a candidate on a fold) is a run of its own, by its name.

    An absent TensorBoard is passed over (it is the default); an absent MLflow raises MissingExtra.
    """
    found: list[Tracker] = []
    if "tensorboard" in kinds:
        with suppress(ImportError):
            found.append(_TensorBoard(folder / "tensorboard" / name, step))
    if "mlflow" in kinds:
        found.append(_MLflow(folder, name))
    return found


class _TensorBoard:
    def __init__(self, folder: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        # what a killed run logged after its last checkpoint is logged again
        self.writer = SummaryWriter(str(folder), purge_step=step + 1 if step else None)

    def log(self, epoch: Epoch) -> None:
        for scalar, value in _scalars(epoch).items():
            self.writer.add_scalar(scalar, value, epoch.step)
        self.writer.flush()

    def close(self) -> None:
        self.writer.close()


class _MLflow:
    """By its client, because `mlflow.start_run` changes the process. MLFLOW_TRACKING_URI names a server; else a local folder."""

    def __init__(self, folder: Path, name: str) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # nothing phones home
        try:
            from mlflow.tracking import MlflowClient
        except ImportError:
            raise MissingExtra("train.tracking: mlflow", "tracking") from None
        uri = os.environ.get("MLFLOW_TRACKING_URI")
        if not uri:
            # the skinny client writes no database, and folders only where it is told that this is meant (3.17)
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
            uri = (folder / "mlflow").absolute().as_uri()
        self.client: Any = MlflowClient(tracking_uri=uri)
        place = folder / "mlflow.runs" / name  # not inside the store, which takes every folder for an experiment
        if place.exists():
            self.run = place.read_text(encoding="ascii")
            return
        known = self.client.get_experiment_by_name("modelyard")
        experiment = known.experiment_id if known else self.client.create_experiment("modelyard")
        self.run = self.client.create_run(experiment, run_name=name).info.run_id
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(self.run, encoding="ascii")

    def log(self, epoch: Epoch) -> None:
        for scalar, value in _scalars(epoch).items():
            self.client.log_metric(self.run, scalar, value, step=epoch.step)

    def close(self) -> None:
        self.client.set_terminated(self.run)
