"""The English verses of the World English Bible as a table, from the table of both languages.

    python recipes/verses-gpt/make_data.py

`verses.parquet` of `verses-assistant` in, `verses.parquet` of this folder out: `verse` (Genesis 1:1), `chapter` (Genesis 1), `en`. The same
input gives the same bytes of text; only polars is used.
"""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent


def main() -> None:
    """Write the table."""
    import polars as pl

    both = pl.read_parquet(HERE.parent / "verses-assistant" / "verses.parquet")
    both.select("verse", "chapter", "en").write_parquet(
        HERE / "verses.parquet", compression="zstd", compression_level=19
    )


if __name__ == "__main__":
    main()
