"""Lets the tests of this folder import the package `benchmarks`: `pytest` alone does not put the folder it runs in on the path."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
