"""`python -m fusion.cli`: the command line where the script is not installed."""

from __future__ import annotations

from fusion.cli import main

if __name__ == "__main__":
    main()
