"""Tokens into text as they come: whole characters only, and nothing of a stop sequence. It knows no model.

A token may hold half a character, and a stop sequence may be spread over several tokens: what is not certain yet waits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

HALF = "\ufffd"
"""What decoders write for bytes that are no whole character yet."""


class Writer:
    """Writes one answer.

    >>> writer = Writer(tokenizer.decode, stops=["\\n\\n"])  # doctest: +SKIP
    >>> for token in tokens: print(writer.add(token), end="")  # doctest: +SKIP
    """

    def __init__(self, decode: Callable[[list[int]], str], stops: Sequence[str] = ()) -> None:
        self._decode, self._stops = decode, [stop for stop in stops if stop]
        self._ids: list[int] = []
        self._from = self._read = 0
        """Tokens from `_from` on are decoded together, so that spaces between words come out; up to `_read` their text is known."""
        self._waiting = ""
        self.stopped = False
        """Whether a stop sequence was met; what follows it is dropped."""

    def add(self, token: int) -> str:
        """The text that this token makes certain; empty while a character or a stop sequence may still be going on."""
        if self.stopped:
            return ""
        self._ids.append(token)
        known, now = self._decode(self._ids[self._from : self._read]), self._decode(self._ids[self._from :])
        if now.endswith(HALF) or len(now) <= len(known):
            return ""
        self._from, self._read = self._read, len(self._ids)
        self._waiting += now[len(known) :]
        return self._certain()

    def end(self) -> str:
        """What was still waiting."""
        if self.stopped:
            return ""
        known, now = self._decode(self._ids[self._from : self._read]), self._decode(self._ids[self._from :])
        rest, self._waiting = self._waiting + now[len(known) :], ""
        self._from = self._read = len(self._ids)
        return rest

    def _certain(self) -> str:
        found = [place for stop in self._stops if (place := self._waiting.find(stop)) >= 0]
        if found:
            text, self._waiting, self.stopped = self._waiting[: min(found)], "", True
            return text
        keep = max((_overlap(self._waiting, stop) for stop in self._stops), default=0)
        cut = len(self._waiting) - keep
        text, self._waiting = self._waiting[:cut], self._waiting[cut:]
        return text


def _overlap(text: str, stop: str) -> int:
    """Characters at the end of a text that a stop sequence begins with."""
    return next((size for size in range(min(len(text), len(stop) - 1), 0, -1) if stop.startswith(text[-size:])), 0)
