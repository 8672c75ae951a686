"""blueprint.yaml <-> a frozen `Blueprint`: typed, versioned, every fault reported at once with its line.

It knows nothing about data: names, types and ranges are checked before a byte is read.

>>> Blueprint.parse("name: demo\ndata: {source: rows.csv, target: label}").train.seed
0
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PrivateAttr

from modelyard.blueprint.business import Business
from modelyard.blueprint.market import Market
from modelyard.blueprint.sections import (
    Audit,
    Clean,
    ColumnType,
    Compress,
    Costs,
    Data,
    Evaluate,
    Package,
    Prepare,
    Report,
    Serve,
    Size,
    Split,
    Train,
)
from modelyard.blueprint.strategy import Strategy
from modelyard.frozen import Frozen
from modelyard.sampling import Generate

__all__ = [
    "Audit", "Blueprint", "Business", "Clean", "ColumnType", "Compress", "Costs", "Data", "Evaluate", "Generate", "Market", "Package",
    "Prepare", "Report", "Serve", "Size", "Split", "Strategy", "Train",
]  # fmt: skip


class Blueprint(Frozen):
    """A venture in one file."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    """Name of the service: small letters, digits and hyphens."""
    version: Literal[1] = 1
    """Version of this file's format."""
    task: str | None = None
    """What the service does; inferred from the target where it is not given."""
    size: Size = "small"
    """The one dial: how large the models and the search are, and how long the load test is."""
    data: Data
    prepare: Prepare = Prepare()
    train: Train = Train()
    generate: Generate = Generate()
    """How texts are written, where the task makes them."""
    evaluate: Evaluate = Evaluate()
    audit: Audit = Audit()
    compress: Compress = Compress()
    package: Package = Package()
    serve: Serve = Serve()
    business: Business = Business()
    market: Market | None = None
    strategy: Strategy | None = None
    report: Report = Report()
    downloads: Literal["never", "build", "always"] = "build"
    """Whether files may be fetched: never, or while building. A packaged service carries all it needs, so always allows no more."""

    _folder: Path = PrivateAttr(default_factory=Path.cwd)

    @property
    def folder(self) -> Path:
        """The folder that relative paths start from: the blueprint's own."""
        return self._folder

    @classmethod
    def load(cls, path: str | Path) -> Blueprint:
        """Read a blueprint file; raises BlueprintError with every fault, each with its line."""
        from modelyard.blueprint.reading import load

        return load(Path(path))

    @classmethod
    def parse(cls, text: str, *, name: str = "blueprint.yaml", folder: Path | None = None) -> Blueprint:
        """Read a blueprint from a text; relative paths start from `folder` (the working folder by default)."""
        from modelyard.blueprint.reading import parse

        return parse(text, name=name, folder=folder or Path.cwd())

    @classmethod
    def build(cls, *, folder: Path | None = None, **sections: Any) -> Blueprint:
        """A blueprint from Python values, checked like a file: `Blueprint.build(name='demo', data={...})`."""
        from modelyard.blueprint.reading import check

        return check(sections, name="blueprint", folder=folder or Path.cwd())

    def run(
        self, folder: str | Path | None = None, *, frame: Any = None, to: str | None = None, force: bool = False
    ) -> Any:
        """Run every stage, as `yard run` does; `frame` (polars or pandas) takes the place of `data.source`. Returns the `Build`."""
        import importlib

        engine = importlib.import_module("modelyard.run")  # by name: the engine lies above the blueprint
        return engine.run(self, folder, frame=frame, to=to, force=force)
