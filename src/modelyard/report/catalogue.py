"""The catalogue of sentences: one TOML file a language in `words/`, with the same keys and the same placeholders.

It knows nothing about records. A text holds `{placeholders}`; what is filled in is escaped unless it is markup already.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from modelyard.errors import UserError, nearest

FOLDER = Path(__file__).parent / "words"


@cache
def languages() -> tuple[str, ...]:
    """The languages a report can be written in."""
    return tuple(sorted(file.stem for file in FOLDER.glob("*.toml")))


@cache
def texts(language: str) -> dict[str, str]:
    """Every text of a language by its dotted key; UserError for a language that is not there."""
    if language not in languages():
        raise UserError(f"no language {language!r}.{nearest(language, languages())} Allowed: {', '.join(languages())}")
    return dict(_flat(tomllib.loads((FOLDER / f"{language}.toml").read_text(encoding="utf-8")), ""))


def _flat(tree: dict[str, Any], head: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for key, value in tree.items():
        found += _flat(value, f"{head}{key}.") if isinstance(value, dict) else [(head + key, str(value))]
    return found


class Words:
    """The texts of one language.

    >>> Words("en")("unit.second")
    Markup('s')
    """

    def __init__(self, language: str) -> None:
        self.language = language
        self._texts = texts(language)

    def plain(self, key: str) -> str:
        """The text of a key, unfilled and unescaped; KeyError names a key that is missing."""
        return self._texts[key]

    def __call__(self, key: str, /, **filled: Any) -> Markup:
        """The text of a key with its placeholders filled in, as safe HTML."""
        return Markup(str(escape(self._texts[key]))).format(**filled)

    def has(self, key: str) -> bool:
        """Whether there is a text for a key."""
        return key in self._texts

    def name(self, group: str, name: str) -> str:
        """The people's name of a metric, model, check, … ; a stranger's part keeps its own, with spaces."""
        return self._texts.get(f"{group}.{name.replace('-', '_')}", name.replace("_", " "))

    def translated(self, text: str) -> str | None:
        """A stage's English remark in this language, by the patterns of `said`; None where there is no pattern for it (or no need)."""
        if not said(self.language):
            return None
        whole = self._translated(text)
        if whole is not None or "; " not in text:
            return whole
        pieces = [self._translated(piece) for piece in text.split("; ")]
        return self._texts["page.remarks"].join(piece for piece in pieces if piece) if all(pieces) else None

    def _translated(self, text: str) -> str | None:
        for pattern, into in said(self.language):
            if found := pattern.fullmatch(text):
                return found.expand(into)
        return None


@cache
def said(language: str) -> tuple[tuple[re.Pattern[str], str], ...]:
    """Patterns of what stages write in English, and what stands for them; `said/<language>.toml`, only where a language has one."""
    file = FOLDER / "said" / f"{language}.toml"
    if not file.exists():
        return ()
    return tuple(
        (re.compile(rule["pattern"]), rule["into"]) for rule in tomllib.loads(file.read_text(encoding="utf-8"))["rules"]
    )
