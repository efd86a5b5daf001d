"""`actctl demo`."""

from __future__ import annotations

import signal
import sys

import click


@click.command(short_help="Govern a real AutoGen group chat.")
@click.option("--keep", is_flag=True, help="Leave the server running, and print its URL and key.")
def demo(keep: bool) -> None:
    """Govern a real AutoGen group chat: a real server, real tool calls, a scripted model. Needs no network."""
    try:
        import autogen  # noqa: F401
        import fastapi  # noqa: F401
    except ImportError as error:
        raise click.ClickException(
            "The demo needs the server and AutoGen; run: pip install 'agent-capability-tokens[server,autogen]'"
        ) from error
    from act.demo.scenario import run

    # A terminated demo stops its server as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        succeeded = run(keep)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0 if succeeded else 1)
