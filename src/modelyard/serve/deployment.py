"""Which version of which model is served: a document in the state folder, changed in whole steps.

    place ─► live | trial (canary: a share of the requests; shadow: asked, never told) ─► promote ─► live
                                                                                      └► roll back

A placed package is copied into the state folder, so that a version to return to is there when the build has gone on. Every
process of a host reads the same document and converges on it (`fleet`); whoever changes it holds a lock. It knows nothing about
requests or processes.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from modelyard.errors import UserError, nearest
from modelyard.frozen import Frozen
from modelyard.packages import checked_package, sha256
from modelyard.store import read_json, replacing_folder, write_json

FILE, LOCK, PACKAGES = "deployment.json", "deployment.lock", "packages"
KEPT_EVENTS, KEPT_PAST = 50, 5


class Placed(Frozen):
    """A version whose package lies in the state folder."""

    folder: str
    """Relative to the state folder."""
    version: str
    hash: str
    """SHA-256 of the package's hashes."""
    since: float
    """Seconds since 1970."""


class Trial(Frozen):
    """A version that is tried beside the live one."""

    placed: Placed
    kind: Literal["canary", "shadow"] = "canary"
    """A canary answers a share of the requests; a shadow is asked the same as the live one and nobody is told its answers."""
    percent: float = Field(10.0, gt=0, le=100)
    """Share of the requests that it answers, or is asked."""
    disagreement: float = Field(0.1, ge=0, le=1)
    """Share of the answers that may differ from the live version's."""


class Event(Frozen):
    """What happened to a model."""

    at: float
    kind: Literal["live", "canary", "shadow", "promoted", "rolled_back"]
    version: str
    reason: str = ""


class Model(Frozen):
    """One model: what answers, what is tried, what answered before."""

    live: Placed
    trial: Trial | None = None
    past: tuple[Placed, ...] = ()
    """Live before, the latest first."""
    events: tuple[Event, ...] = ()
    """The latest last."""


class Deployment(Frozen):
    """The whole document."""

    format: Literal[1] = 1
    default: str = ""
    """The model that `/v1/predict` asks; the first one placed."""
    models: dict[str, Model] = {}

    def model(self, name: str) -> Model:
        """One model; UserError with the nearest name."""
        if name not in self.models:
            raise UserError(
                f"no model {name!r} is deployed.{nearest(name, self.models)} There are: {', '.join(self.models) or 'none'}"
            )
        return self.models[name]


class DeploymentFile:
    """The document of one state folder.

    >>> DeploymentFile(Path("state")).read().models  # doctest: +SKIP
    {'mail-spam': Model(live=Placed(folder='packages/mail-spam-1.0.0-8f0f2866e203', ...))}
    """

    def __init__(self, state: Path) -> None:
        self.state = state
        self.path = state / FILE

    def read(self) -> Deployment:
        """The document as it stands; empty where nothing was placed yet."""
        if not self.path.exists():
            return Deployment()
        try:
            return Deployment.model_validate(read_json(self.path))
        except (ValueError, ValidationError) as error:
            raise UserError(
                f"{self.path} cannot be read: {error}. Mend it, or remove it and place the packages again."
            ) from None

    def live(self) -> list[Path]:
        """Folders of the live versions, the default model's first."""
        deployment = self.read()
        names = sorted(deployment.models, key=lambda name: name != deployment.default)
        return [self.state / deployment.models[name].live.folder for name in names]

    def stamp(self) -> tuple[int, int]:
        """Changes whenever the document does."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return 0, 0
        return found.st_mtime_ns, found.st_ino

    def place(self, package: Path, *, now: float, force: bool = False) -> Deployment:
        """A package as the live version of its model, at once."""
        name, placed = self._keep(package, now=now, force=force)

        def change(deployment: Deployment) -> Deployment:
            before = deployment.models.get(name)
            if before is not None and before.live.hash == placed.hash:
                return deployment
            return _with(deployment, name, _live(before, placed, Event(at=now, kind="live", version=placed.version)))

        return self._change(change)

    def try_out(
        self, package: Path, *, now: float, kind: Literal["canary", "shadow"] = "canary", percent: float = 10.0,
        disagreement: float = 0.1, force: bool = False,
    ) -> Deployment:  # fmt: skip
        """A package as a trial beside the live version of its model; it takes the place of an earlier trial."""
        name, placed = self._keep(package, now=now, force=force)
        trial = Trial(placed=placed, kind=kind, percent=percent, disagreement=disagreement)

        def change(deployment: Deployment) -> Deployment:
            model = deployment.model(name)
            if model.live.hash == placed.hash:
                raise UserError(f"{name} {placed.version} is live already. Build another version to try.")
            return _with(deployment, name, _told(model, Event(at=now, kind=kind, version=placed.version), trial=trial))

        return self._change(change)

    def promote(self, name: str, *, now: float) -> Deployment:
        """The trial becomes live; UserError where there is none."""

        def change(deployment: Deployment) -> Deployment:
            model = deployment.model(name)
            if model.trial is None:
                raise UserError(f"{name} has no trial to promote.")
            placed = model.trial.placed
            event = Event(at=now, kind="promoted", version=placed.version)
            return _with(deployment, name, _live(model, placed.model_copy(update={"since": now}), event))

        return self._change(change)

    def roll_back(self, name: str, *, now: float, reason: str = "", trial: str | None = None) -> Deployment:
        """End the trial, or, where there is none, return to the version that was live before. `trial` is the hash of the trial that
        is meant: when it has gone already, nothing changes."""

        def change(deployment: Deployment) -> Deployment:
            model = deployment.model(name)
            if trial is not None and (model.trial is None or model.trial.placed.hash != trial):
                return deployment
            if model.trial is not None:
                event = Event(at=now, kind="rolled_back", version=model.trial.placed.version, reason=reason)
                return _with(deployment, name, _told(model, event, trial=None))
            if not model.past:
                raise UserError(f"{name} has neither a trial nor an earlier version to return to.")
            event = Event(at=now, kind="rolled_back", version=model.live.version, reason=reason)
            earlier = model.past[0].model_copy(update={"since": now})
            changed = model.model_copy(update={"live": earlier, "past": model.past[1:]})
            return _with(deployment, name, _told(changed, event, trial=None))

        return self._change(change)

    def _keep(self, package: Path, *, now: float, force: bool) -> tuple[str, Placed]:
        """Verify a package and copy it into the state folder; its model's name and where it lies."""
        with checked_package(package, force=force) as checked:
            manifest, digest = checked.manifest, sha256(checked.folder / "hashes.json")
            relative = f"{PACKAGES}/{manifest.name}-{manifest.version}-{digest[:12]}"
            if not (self.state / relative).exists():
                with replacing_folder(self.state / relative) as temporary:
                    shutil.copytree(checked.folder, temporary, dirs_exist_ok=True)
        return manifest.name, Placed(folder=relative, version=manifest.version, hash=digest, since=now)

    def _change(self, change: Callable[[Deployment], Deployment]) -> Deployment:
        with self._locked():
            before = self.read()
            after = change(before)
            if after != before:
                write_json(self.path, after.model_dump(mode="json"))
                self._forget(after)
            return after

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.state.mkdir(parents=True, exist_ok=True)
        with (self.state / LOCK).open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _forget(self, deployment: Deployment) -> None:
        """Remove packages that nothing names any more; a process that still serves one has its files open or mapped."""
        named = {
            placed.folder
            for model in deployment.models.values()
            for placed in (model.live, *model.past, *([model.trial.placed] if model.trial else []))
        }
        for folder in (self.state / PACKAGES).iterdir():
            if f"{PACKAGES}/{folder.name}" not in named and not folder.name.startswith("."):
                shutil.rmtree(folder, ignore_errors=True)


def _live(before: Model | None, placed: Placed, event: Event) -> Model:
    """The model with another live version; the one before is kept to return to."""
    if before is None:
        return Model(live=placed, events=(event,))
    past = (before.live, *before.past)[:KEPT_PAST]
    return _told(before.model_copy(update={"live": placed, "past": past}), event, trial=None)


def _told(model: Model, event: Event, *, trial: Trial | None) -> Model:
    return model.model_copy(update={"trial": trial, "events": (*model.events, event)[-KEPT_EVENTS:]})


def _with(deployment: Deployment, name: str, model: Model) -> Deployment:
    return deployment.model_copy(
        update={"models": {**deployment.models, name: model}, "default": deployment.default or name}
    )
