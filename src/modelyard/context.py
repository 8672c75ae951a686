"""What a stage is given: the blueprint, the build's store, earlier records, and a way to show progress."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from modelyard.blueprint import Blueprint
from modelyard.records._base import Record, cores
from modelyard.store import Store

R = TypeVar("R", bound=Record)
T = TypeVar("T")


class Progress(Protocol):
    """How a stage shows that it moves. The command line draws; `Silence` does not."""

    def say(self, line: str) -> None:
        """One line of news, kept on screen."""

    def bar(self, label: str, total: float | None = None) -> AbstractContextManager[Callable[[float], None]]:
        """A bar; call the yielded function with the amount advanced."""


class Silence:
    """Progress that shows nothing."""

    def say(self, line: str) -> None:
        """Nothing."""

    @contextmanager
    def bar(self, label: str, total: float | None = None) -> Iterator[Callable[[float], None]]:
        """Nothing."""
        yield lambda amount: None


@dataclass
class Context:
    """A stage's world."""

    blueprint: Blueprint
    store: Store
    progress: Progress = field(default_factory=Silence)
    records: dict[str, Record] = field(default_factory=dict)
    """Records of the stages before, by stage name."""
    force: bool = False
    """Go on past a failed gate; the package and the report say so."""
    threads: int = field(default_factory=lambda: available_cores())

    def record(self, kind: type[R]) -> R:
        """The record of an earlier stage, by its class."""
        found = next((record for record in self.records.values() if isinstance(record, kind)), None)
        assert found is not None, f"{kind.__name__} is not there yet"
        return found

    def decide(self, name: str, choose: Callable[[], T]) -> T:
        """Take a choice that depends on a clock once, and replay it ever after."""
        return self.store.decide(name, choose)


def available_cores() -> int:
    """Cores this process may use: its affinity, and the cgroup's quota where there is one (rounded down, at least 1)."""
    own = cores()
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()[:2]
        return own if quota == "max" else min(own, max(1, int(quota) // int(period)))
    except (OSError, ValueError):
        return own
