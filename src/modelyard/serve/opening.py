"""A package's folder as a `Service`: the one place where serving meets packages.

The folder of a bare artifact (`artifact.json`, as `train` and `compress` leave it) can be served too, for experiments.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from modelyard.predictor import Predictor
from modelyard.serve.deployed import Service
from modelyard.serve.limits import Limits

if TYPE_CHECKING:
    from modelyard.packages import OpenedPackage


@dataclass(frozen=True)
class Bare:
    """An opened artifact that was never packaged."""

    folder: Path
    predictor: Predictor


def open_model(package: Path, *, force: bool = False) -> OpenedPackage | Bare:
    """Open a package (its hashes are checked) or a bare artifact; PackageError where it is neither, is changed, or a gate refused it.

    Keep the result as long as the predictor: an archive is unpacked into a folder that goes with it.
    """
    from modelyard.packages import HASHES, MANIFEST, VERDICT, open_package

    shipped = (HASHES, MANIFEST, VERDICT, "MODEL_CARD.md", "requirements.txt", "wheels")
    if (package / "artifact.json").is_file() and not any((package / name).exists() for name in shipped):
        return Bare(package, Predictor.open(package))
    return open_package(package, force=force)


def open_service(package: Path, *, force: bool = False, limits: Limits | None = None) -> Service:
    """A package or a bare artifact as a service; its limits are those it was packaged with, unless given. PackageError as above."""
    from modelyard.packages import HASHES, sha256
    from modelyard.watching.reference import read_reference

    opened = open_model(package, force=force)
    if isinstance(opened, Bare):
        name = opened.predictor.artifact.name
        return Service(name=name, version="0", predictor=opened.predictor, limits=limits or Limits(), source=opened)
    manifest = opened.manifest
    return Service(
        name=manifest.name,
        version=manifest.version,
        description=manifest.description,
        predictor=opened.predictor,
        limits=limits or Limits(max_rows=manifest.max_rows, max_body=manifest.max_body, p95=manifest.p95),
        examples=manifest.examples,
        metrics=manifest.metrics,
        hash=sha256(opened.folder / HASHES),
        source=opened,
        reference=read_reference(opened.folder),
    )
