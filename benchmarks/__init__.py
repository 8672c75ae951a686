"""Ours beside peers, side by side in one run, as ratios with intervals. See README.md; try `python -m benchmarks`."""
