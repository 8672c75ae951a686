"""One word checks everything: format, lint, types, import arrows, tests. `make test` runs it; it stops at the first failure.

The tests come last, so that their closing line is the last thing printed.
"""

from __future__ import annotations

import subprocess
import sys
import time

CHECKS = (
    ["ruff", "format", "--check", "--quiet", "."],
    ["ruff", "check", "--quiet", "."],
    ["lint-imports", "--no-cache"],
    ["mypy"],
    [sys.executable, "-m", "pytest", "-m", "not long"],
)


def main() -> int:
    """Run the checks in order; the exit code of the first that fails."""
    for command in CHECKS:
        started = time.monotonic()
        print(f"--- {' '.join(command)}", flush=True)
        code = subprocess.run(command, check=False).returncode
        if code:
            print(f"{command[0]} failed with exit code {code}", file=sys.stderr)
            return code
        print(f"    {time.monotonic() - started:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
