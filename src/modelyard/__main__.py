"""`python -m modelyard` is `yard`."""

from modelyard.cli import main

main()
