"""Who of those that wait begins next: callers in turn by what they were given, and the patient ones last. It knows no model.

A caller is charged the tokens that an answer may come to when it begins; the one that was charged least is next. One that comes
back after a rest is charged as much as the latest to begin, so that resting saves nothing up and nobody waits for ever
(start-time fair queueing: Goyal, Vin and Cheng, SIGCOMM 1996).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from modelyard.serve.answering import Answering


class Waiting:
    """Answers that have not begun.

    >>> waiting.add(one); waiting.peek(); waiting.pop()  # doctest: +SKIP
    """

    def __init__(self) -> None:
        self._lines: dict[tuple[bool, str], list[Answering]] = {}
        self._charged: dict[tuple[bool, str], float] = {}
        self._floor = 0.0

    def __iter__(self) -> Iterator[Answering]:
        for line in self._lines.values():
            yield from line

    def add(self, one: Answering) -> None:
        """To the end of its caller's line."""
        key = (one.ask.patient, one.ask.caller)
        if key not in self._lines:
            self._charged[key] = max(self._charged.get(key, 0.0), self._floor)
        self._lines.setdefault(key, []).append(one)

    def peek(self) -> Answering | None:
        """The one that is next; of callers alike the one that came first."""
        key = self._next()
        return None if key is None else self._lines[key][0]

    def pop(self) -> Answering:
        """Take the one that is next."""
        key = self._next()
        assert key is not None, "somebody waits"
        one = self._lines[key].pop(0)
        self._floor = max(self._floor, self._charged[key])
        self._charged[key] += one.ask.rows * one.ask.length
        self._forget()
        return one

    def keep(self, wanted: Callable[[Answering], bool]) -> None:
        """Let go of all others."""
        self._lines = {key: [one for one in line if wanted(one)] for key, line in self._lines.items()}
        self._forget()

    def _next(self) -> tuple[bool, str] | None:
        return min(self._lines, key=lambda key: (key[0], self._charged[key]), default=None)

    def _forget(self) -> None:
        """Callers without an answer, once what they were charged makes no difference."""
        self._lines = {key: line for key, line in self._lines.items() if line}
        self._charged = {
            key: charged for key, charged in self._charged.items() if key in self._lines or charged > self._floor
        }
