"""Lets the tests of this folder share `report_builds` and `report_browser` (pytest's importlib mode knows no siblings)."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
