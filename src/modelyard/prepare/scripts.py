"""The script of a text column, from Unicode's Script property on a sample. It does not know models.

Unspaced scripts write words without spaces between them, so that word n-grams would see whole sentences.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelyard.features.ngrams import UNSPACED_SHARE

if TYPE_CHECKING:
    import polars

SAMPLE = 2000
SCRIPTS = {
    "Latin": "Latin", "Han": "Han", "Kana": "Hiragana Katakana", "Hangul": "Hangul", "Thai": "Thai", "Lao": "Lao", "Khmer": "Khmer", "Myanmar": "Myanmar",
    "Tibetan": "Tibetan", "Cyrillic": "Cyrillic", "Greek": "Greek", "Arabic": "Arabic", "Hebrew": "Hebrew", "Devanagari": "Devanagari",
    "Bengali": "Bengali", "Tamil": "Tamil", "Telugu": "Telugu", "Armenian": "Armenian", "Georgian": "Georgian", "Ethiopic": "Ethiopic",
}  # fmt: skip
UNSPACED = ("Han", "Kana", "Thai", "Lao", "Khmer", "Myanmar", "Tibetan")
KANA_SHARE = 0.1
"""Japanese mixes kana into Han; Chinese holds next to none."""


def script(texts: polars.Series) -> dict[str, Any]:
    """`{'script': 'Latin', 'scripts': {'Latin': 0.99, ...}, 'unspaced': False}`; script None where there are no letters."""
    present = texts.drop_nulls()
    sample = present.gather_every(max(1, present.len() // SAMPLE)).str.slice(0, 5000)
    if not sample.str.contains(r"[^\x00-\x7F]").any():
        counts = {"Latin": float(sample.str.count_matches("[A-Za-z]").sum())}
    else:
        counts = {name: float(sample.str.count_matches(_pattern(blocks)).sum()) for name, blocks in SCRIPTS.items()}
    total = sum(counts.values())
    if not total:
        return {"script": None, "scripts": {}, "unspaced": False}
    shares = {name: count / total for name, count in counts.items() if count}
    unspaced = sum(shares.get(name, 0.0) for name in UNSPACED) >= UNSPACED_SHARE
    east_asian = shares.get("Han", 0.0) + shares.get("Kana", 0.0)
    top = max(shares, key=lambda name: shares[name])
    if unspaced and top in ("Han", "Kana", "Latin") and east_asian >= UNSPACED_SHARE:
        top = "Kana" if shares.get("Kana", 0.0) >= KANA_SHARE * east_asian else "Han"
    ordered = dict(sorted(shares.items(), key=lambda item: -item[1]))
    return {
        "script": top,
        "scripts": {name: round(share, 4) for name, share in ordered.items() if share >= 0.0001},
        "unspaced": unspaced,
    }


def _pattern(blocks: str) -> str:
    return "[" + "".join(rf"\p{{{block}}}" for block in blocks.split()) + "]"
