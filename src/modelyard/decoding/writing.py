"""Tokens into text as they come: whole characters only, and nothing of a stop sequence. It knows no model.

A token may hold half a character, and a stop sequence may be spread over several tokens: what is not certain yet waits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

HALF = "\ufffd"
"""What decoders write for bytes that are no whole character yet."""
LONGEST = 32
"""Tokens in a row that complete no character, after which their bytes are shown as none: a character has at most four bytes."""


class Writer:
    """Writes one answer.

    >>> writer = Writer(tokenizer.decode, stops=["\\n\\n"])  # doctest: +SKIP
    >>> for token in tokens: print(writer.add(token), end="")  # doctest: +SKIP
    """

    def __init__(
        self, decode: Callable[[list[int]], str], stops: Sequence[str] = (), *, before: Sequence[int] = ()
    ) -> None:
        """`before`: the last tokens of what the answer continues; a space between it and the answer then comes out."""
        self._decode, self._stops = decode, [stop for stop in stops if stop]
        self._ids = list(before)
        self._from, self._read = 0, len(self._ids)
        """Tokens from `_from` on are decoded together, so that spaces between words come out; those up to `_read` are whole characters."""
        self._taken = len(decode(self._ids)) if before else 0
        """Characters of their text that were taken already."""
        self._idle = 0
        """Tokens in a row that ended amid a character and completed none."""
        self._waiting = ""
        self.written = 0
        """Characters that were given out."""
        self.stopped = False
        """Whether a stop sequence was met; what follows it is dropped."""

    @property
    def known(self) -> int:
        """Characters of all tokens so far, those that wait included."""
        return self.written + len(self._waiting)

    def add(self, token: int) -> str:
        """The text that this token makes certain; empty while a character or a stop sequence may still be going on."""
        if self.stopped:
            return ""
        self._ids.append(token)
        now = self._decode(self._ids[self._from :])
        self._idle = self._idle + 1 if now.endswith(HALF) else 0
        whole = now if self._idle > LONGEST else now.rstrip(HALF)
        if len(whole) <= self._taken:
            return ""
        self._waiting += whole[self._taken :]
        self._taken, self._idle = len(whole), 0
        if whole == now:
            self._from, self._read = self._read, len(self._ids)
            self._taken = len(self._decode(self._ids[self._from : self._read]))
        return self._certain()

    def end(self) -> str:
        """What was still waiting."""
        if self.stopped:
            return ""
        self._waiting += self._decode(self._ids[self._from :])[self._taken :]
        self._ids, self._from, self._read, self._taken = [], 0, 0, 0
        text = self._certain()
        if not self.stopped:
            text += self._waiting
            self.written, self._waiting = self.written + len(self._waiting), ""
        return text

    def _certain(self) -> str:
        found = [place for stop in self._stops if (place := self._waiting.find(stop)) >= 0]
        if found:
            text, self._waiting, self.stopped = self._waiting[: min(found)], "", True
        else:
            keep = max((_overlap(self._waiting, stop) for stop in self._stops), default=0)
            cut = len(self._waiting) - keep
            text, self._waiting = self._waiting[:cut], self._waiting[cut:]
        self.written += len(text)
        return text


def _overlap(text: str, stop: str) -> int:
    """Characters at the end of a text that a stop sequence begins with."""
    return next((size for size in range(min(len(text), len(stop) - 1), 0, -1) if stop.startswith(text[-size:])), 0)
