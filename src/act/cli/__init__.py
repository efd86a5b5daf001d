"""`actctl`, the command line of ACT."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point; says what to install when only the SDK is there."""
    try:
        from act.cli.app import run
    except ImportError as error:
        if error.name not in ("click", "rich"):
            raise
        sys.exit(f"actctl needs the package '{error.name}'; run: pip install 'agent-capability-tokens[cli]'")
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(run())
