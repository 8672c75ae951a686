"""Make `speakers.parquet`: 640 utterances of the Japanese vowels /ae/ by nine men, as series of 12 numbers a step.

    pip install --no-deps aeon==1.6.0
    python recipes/speakers/make_data.py            # writes the table again (a second)
    python recipes/speakers/make_data.py --check    # writes nothing; says whether the kept table is what this file makes

Made with polars 2.1.0 from the files `JapaneseVowels_TRAIN.ts` and `JapaneseVowels_TEST.ts` that the package `aeon` carries; the package itself
is not imported, so its dependencies are not needed. `--folder` names another folder that holds the two files.

**Source.** Kudo, Toyama, Shimbo, *Multidimensional curve classification using passing-through regions*, Pattern Recognition Letters 20
(1999), pages 1103 to 1111; Japanese Vowels, UCI Machine Learning Repository, https://doi.org/10.24432/C5NS47 (CC BY 4.0).

**The columns.**

    cepstrum    7 to 29 steps of 12 LPC cepstrum coefficients; a step is a frame of 25.6 ms, 6.4 ms after the one before
    speaker     the target: `speaker 1` to `speaker 9`
    split       train (270 utterances, 30 a speaker) or test (370, 24 to 88 a speaker, on other occasions), as published

The numbers have six decimals at the source and are kept as 32-bit floats, which hold all six. Nothing is left out; the order is the source's.
"""

from __future__ import annotations

import argparse
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import polars as pl

TABLE = Path(__file__).with_name("speakers.parquet")
FILES = {"train": "JapaneseVowels_TRAIN.ts", "test": "JapaneseVowels_TEST.ts"}
CHANNELS = 12
SCHEMA = {"cepstrum": pl.List(pl.List(pl.Float32)), "speaker": pl.String, "split": pl.String}


def installed() -> Path:
    """The folder of the files in the installed package `aeon`."""
    try:
        return Path(str(distribution("aeon").locate_file("aeon/datasets/data/JapaneseVowels")))
    except PackageNotFoundError:
        raise SystemExit(
            "the package aeon is not installed: pip install --no-deps aeon==1.6.0, or name --folder"
        ) from None


def utterance(line: str) -> tuple[list[list[float]], str]:
    """A line of a .ts file: the channels' values, `:` between channels, and the class last -> steps (L, 12) and speaker."""
    *channels, speaker = line.strip().split(":")
    values = [[float(value) for value in channel.split(",")] for channel in channels]
    assert len(values) == CHANNELS, f"{len(values)} channels"
    return [list(step) for step in zip(*values, strict=True)], f"speaker {speaker}"


def make(folder: Path) -> pl.DataFrame:
    """The table from the two files of a folder."""
    rows = []
    for split, name in FILES.items():
        lines = (folder / name).read_text(encoding="utf-8").splitlines()
        first = 1 + next(number for number, line in enumerate(lines) if line.strip().lower() == "@data")
        rows += [(*utterance(line), split) for line in lines[first:] if line.strip()]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def main() -> int:
    """Write the table, or check it."""
    parser = argparse.ArgumentParser(description="Make speakers.parquet from the files of the package aeon.")
    parser.add_argument("--folder", type=Path, help="where the two .ts files are; by default the installed package")
    parser.add_argument("--check", action="store_true", help="compare with the kept table and write nothing")
    given = parser.parse_args()
    made = make(given.folder or installed())
    if given.check:
        same = TABLE.exists() and made.equals(pl.read_parquet(TABLE))
        print(f"{TABLE.name}: {'is' if same else 'is NOT'} what this file makes")
        return 0 if same else 1
    made.write_parquet(TABLE, compression="zstd", compression_level=19)
    print(f"{TABLE.name}: {made.height} utterances, {TABLE.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
