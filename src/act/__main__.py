"""`python -m act` is `actctl`."""

from __future__ import annotations

from act.cli import main

if __name__ == "__main__":
    main()
