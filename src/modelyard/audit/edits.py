"""Small edits that should not change an answer: typos, case, spaces, lost fields, some noise. Rows in, rows out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from modelyard.rows import Array, Rows, empty_column

Edit = Callable[[Rows, dict[str, str], np.random.Generator], Rows]


def _each_text(rows: Rows, types: dict[str, str], change: Callable[[str], str]) -> Rows:
    edited = {}
    for name, kind in types.items():
        if kind == "text":
            column = np.empty(len(rows), dtype=object)
            column[:] = [None if text is None else change(text) for text in rows[name]]
            edited[name] = column
    return rows.replace(**edited)


def typos(share: float) -> Edit:
    """One error in `share` of the words of four letters or more: two neighbours swapped, a letter lost or doubled."""

    def mistype(word: str, rng: np.random.Generator) -> str:
        place = int(rng.integers(1, len(word) - 1))
        kind = int(rng.integers(3))
        if kind == 0:
            return word[:place] + word[place + 1] + word[place] + word[place + 2 :]
        return word[:place] + word[place + 1 :] if kind == 1 else word[:place] + word[place] + word[place:]

    def edit(rows: Rows, types: dict[str, str], rng: np.random.Generator) -> Rows:
        def change(text: str) -> str:
            words = text.split(" ")
            struck = rng.uniform(size=len(words)) < share
            return " ".join(mistype(w, rng) if hit and len(w) >= 4 else w for w, hit in zip(words, struck, strict=True))

        return _each_text(rows, types, change)

    return edit


def case(rows: Rows, types: dict[str, str], rng: np.random.Generator) -> Rows:
    """Every text in lower case."""
    return _each_text(rows, types, str.lower)


def spaces(share: float) -> Edit:
    """`share` of the spaces doubled, and a line break at the end."""

    def edit(rows: Rows, types: dict[str, str], rng: np.random.Generator) -> Rows:
        def change(text: str) -> str:
            words = text.split(" ")
            wide = rng.uniform(size=len(words)) < share
            return "".join(word + ("  " if twice else " ") for word, twice in zip(words, wide, strict=True)) + "\n"

        return _each_text(rows, types, change)

    return edit


def missing(share: float) -> Edit:
    """`share` of the fields lost, at random; no row loses all of them."""

    def edit(rows: Rows, types: dict[str, str], rng: np.random.Generator) -> Rows:
        names = list(types)
        lost = rng.uniform(size=(len(rows), len(names))) < share
        kept = rng.integers(0, len(names), size=len(rows))
        lost[np.arange(len(rows)), kept] = False
        return rows.replace(
            **{name: _blank(rows[name], types[name], lost[:, place]) for place, name in enumerate(names)}
        )

    return edit


def _blank(values: Array, kind: str, lost: Array) -> Array:
    copy = values.copy()
    copy[lost] = empty_column(kind, int(lost.sum()))
    return copy


def noise(share: float) -> Edit:
    """Numbers moved by `share` of their column's standard deviation, at random; whole numbers stay whole."""

    def edit(rows: Rows, types: dict[str, str], rng: np.random.Generator) -> Rows:
        edited = {}
        for name, kind in types.items():
            if kind == "number":
                values = rows[name]
                seen = values[~np.isnan(values)]
                if len(seen):
                    moved = values + share * float(seen.std()) * rng.normal(size=len(values))
                    edited[name] = np.round(moved) if (seen == np.round(seen)).all() else moved
        return rows.replace(**edited)

    return edit
