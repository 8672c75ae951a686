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


def available_cores(groups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int:
    """Cores this process may use: its affinity, and the smallest quota of its cgroups (rounded down, at least 1)."""
    return min([cores(), *(max(1, int(quota)) for quota in _quotas(groups, own))])


def _quotas(groups: Path, own: Path) -> Iterator[float]:
    """Cores that the cgroups of this process allow, of version 1 and 2, each with those above it; in a container the paths of
    `own` may be the host's and not be there: the topmost folder then speaks for it."""
    for line in _words(own, "\n"):
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            tops = [groups, groups / "unified"]
        elif "cpu" in controllers.split(","):
            tops = [groups / controllers, groups / "cpu"]
        else:
            continue
        for top in tops:
            folder = top / path.strip("/")
            for each in (folder, *(above for above in folder.parents if above.is_relative_to(top))):
                words = _words(each / "cpu.max") or [
                    *_words(each / "cpu.cfs_quota_us"),
                    *_words(each / "cpu.cfs_period_us"),
                ]
                if len(words) == 2 and words[0].isdigit() and words[1].isdigit() and int(words[1]):
                    yield int(words[0]) / int(words[1])


def _words(file: Path, separator: str | None = None) -> list[str]:
    """The words of a small file; none where it is not there."""
    try:
        return file.read_text(encoding="ascii").split(separator)
    except (OSError, ValueError):
        return []
