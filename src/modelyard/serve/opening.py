"""A package's folder as a `Service`: the one place where serving meets the package's manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from modelyard.errors import PackageError
from modelyard.serve.app import Service
from modelyard.serve.limits import Limits


def open_service(package: Path, *, force: bool = False, limits: Limits | None = None) -> Service:
    """Open a package (its hashes are checked) or, for experiments, the folder of a bare artifact; PackageError where it is neither."""
    if (package / "artifact.json").exists() and not (package / "manifest.json").exists():
        from modelyard.predictor import Predictor

        predictor = Predictor.open(package)
        return Service(name=predictor.artifact.name, version="0", predictor=predictor, limits=limits or Limits())
    if not package.exists():
        raise PackageError(f"no package {str(package)!r}. Make one with: yard run BLUEPRINT --to package")
    raise PackageError(f"{package} is not a package")


def _value(manifest: Any, name: str, default: Any) -> Any:
    found = getattr(manifest, name, None)
    return default if found is None else found
