"""The answers to one prompt on their way: what is read of it, what is drawn, and which text is certain. It runs no model by itself.

reading -> `read` a piece of the prompt at a time -> `move`, `take` for each further token -> done
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import takewhile
from typing import Any

import numpy as np

from modelyard.decoding.searching import Answers, Move, Search, Token, scored
from modelyard.decoding.writing import Writer
from modelyard.rows import Array
from modelyard.serve.generation import Ask, Finish, Generation, Generator, Piece, Shown

BEFORE = 8
"""Tokens of the prompt that an answer's first ones are decoded with, so that the space between them comes out."""


class Answering:
    """The answers to one prompt. Nothing of it depends on who else is being answered."""

    def __init__(self, ask: Ask, generation: Generation, generator: Generator, first: int) -> None:
        self.ask, self.generation, self._generator = ask, generation, generator
        self._choices = [Choice(first + row, ask, generator.decode) for row in range(ask.choices)]
        decoder = generator.decoder
        rngs = [np.random.default_rng([ask.seed, number]) for number in range(ask.choices)]
        self._answers = Answers(decoder, ask.prompt, ask.sampling, most=ask.most, rngs=rngs, likeliest=ask.likeliest)
        self._search = Search(decoder, ask.prompt, beams=ask.beams, most=ask.most) if ask.beams > 1 else None
        self._echo = iter(()) if ask.echo is None else self._echoed(ask.echo)
        self._read = 0
        self.state: Any = None
        """The state after what was read of the prompt."""
        self.reading, self.done = True, False
        self.begun = 0.0
        self.latest = generation.begun
        """When the latest token came."""

    @property
    def drawn(self) -> int:
        """Tokens of all its answers so far."""
        return sum(choice.drawn for choice in self._choices)

    @property
    def unread(self) -> int:
        """Tokens of the prompt that are left."""
        return len(self.ask.prompt) - self._read

    def read(self, most: int) -> list[Piece]:
        """Go on with the prompt, at most so many tokens; what may be shown. In the end the first tokens are drawn."""
        self.begun = self.begun or time.perf_counter()
        if (echoed := next(self._echo, None)) is not None:
            return echoed
        if not self._going:  # no room for a token: nothing needs to be read
            self.reading, self.done = False, True
            return [choice.end("length") for choice in self._choices]
        piece = self.ask.prompt[self._read : self._read + most]
        decoder = self._generator.decoder
        logits, self.state = decoder.more(piece, self.state) if self._read else decoder.start(piece)
        self._read += len(piece)
        if self.unread:
            return []
        self.reading = False
        if self._search is not None:
            self._search.begin(logits)
            return self._searched(self._search)
        return self._told(self._answers.begin(logits))

    def move(self) -> Move:
        """How its rows go on."""
        return self._answers.move() if self._search is None else self._search.move()

    def take(self, logits: Array) -> list[Piece]:
        """What follows its rows (B, V): the next token of each, and what may be shown."""
        if self._search is not None:
            self._search.take(logits)
            return self._searched(self._search)
        return self._told(self._answers.take(logits))

    @property
    def _going(self) -> bool:
        return bool(self._answers.going) if self._search is None else self._search.found is None

    def _told(self, tokens: dict[int, Token | None]) -> list[Piece]:
        pieces = []
        for row, token in tokens.items():
            choice = self._choices[row]
            if token is None:
                piece = choice.end("stop")
            else:
                piece = choice.add(token, last=row not in self._answers.going)
            if piece.finish:
                self._answers.drop(row)
            pieces.append(piece)
        self.done = not self._going
        return [piece for piece in pieces if piece.text or piece.tokens or piece.finish]

    def _searched(self, search: Search) -> list[Piece]:
        pieces: list[Piece] = []
        if search.found is not None:
            self.done, choice = True, self._choices[0]
            for number in search.found.ids:
                pieces.append(choice.add(Token(number, math.nan)))
                if pieces[-1].finish:
                    break
            else:
                pieces.append(choice.end("stop" if search.found.ended else "length"))
        return pieces

    def _echoed(self, text: str) -> Iterator[list[Piece]]:
        """The prompt as the beginning of each answer, its tokens scored where logarithms are wanted."""
        shown: list[Shown] | None = None
        if self.ask.logarithms:
            decode, ids = self._generator.decode, self.ask.prompt
            writer = Writer(decode)
            shown = [Shown(decode([int(ids[0])]), 0, None)]
            writer.add(int(ids[0]))
            for place, token in enumerate(scored(self._generator.decoder, ids, likeliest=self.ask.likeliest)):
                shown.append(_shown(token, decode, before=int(ids[place]), offset=writer.known))
                writer.add(token.id)
                yield []
        tokens = None if shown is None else tuple(shown)
        yield [Piece(choice.number, text, 0, tokens) for choice in self._choices]


class Choice:
    """One answer: its text, and the tokens whose text is not certain yet."""

    def __init__(self, number: int, ask: Ask, decode: Any) -> None:
        self.number, self.drawn = number, 0
        before = ask.prompt[-BEFORE:].tolist()
        self._latest = before[-1]
        self._decode, self._writer = decode, Writer(decode, ask.stops, before=before)
        self._logarithms, self._offset = ask.logarithms, len(ask.echo or "")
        self._held: list[Shown] = []

    def add(self, token: Token, *, last: bool = False) -> Piece:
        """What a token makes certain; where it is the last one there is room for, all that is left."""
        if self._logarithms:
            offset = self._offset + self._writer.known
            self._held.append(_shown(token, self._decode, before=self._latest, offset=offset))
        self.drawn += 1
        self._latest = token.id
        text = self._writer.add(token.id)
        if last and not self._writer.stopped:
            return self._piece(text + self._writer.end(), "length")
        return self._piece(text, None)

    def end(self, finish: Finish) -> Piece:
        """What is left."""
        return self._piece(self._writer.end(), finish)

    def _piece(self, text: str, finish: Finish | None) -> Piece:
        finish = "stop" if self._writer.stopped else finish
        tokens = self._released(finish) if self._logarithms else None
        return Piece(self.number, text, self.drawn, tokens, finish)

    def _released(self, finish: Finish | None) -> tuple[Shown, ...]:
        """Tokens whose text is told in full; in the end all, but for those of a stop sequence, which may begin amid one."""
        certain = self._offset + self._writer.written
        if self._writer.stopped:
            cut = [replace(one, text=one.text[: certain - one.offset]) for one in self._held if one.offset < certain]
            return tuple(cut)
        if finish is not None:
            return tuple(self._held)
        told = tuple(takewhile(lambda one: one.offset + len(one.text) <= certain, self._held))
        self._held = self._held[len(told) :]
        return told


def _shown(token: Token, decode: Any, *, before: int, offset: int) -> Shown:
    others = tuple((_text(decode, before, number), logarithm) for number, logarithm in token.likeliest)
    return Shown(_text(decode, before, token.id), offset, token.logarithm, others)


def _text(decode: Any, before: int, number: int) -> str:
    """What a token spells after another one: some decoders leave out the space at a text's beginning."""
    known, both = decode([before]), decode([before, number])
    return (both[len(known) :] if both.startswith(known) else "") or str(decode([number]))
