"""From what a command raises to an exit code: a sentence on stderr, never a traceback."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Final

import click

from act.cli.text import escaped

FAILED: Final = 1
DENIED: Final = 3
PENDING: Final = 4
INTERRUPTED: Final = 130
TERMINATED: Final = 143


def run_quietly(command: click.Command) -> int:
    """Run `command` with the arguments of this process.

    Exit codes: 0 done or allowed, 1 error, 2 usage, 3 denied, 4 pending, 130 interrupted, 143 terminated.
    """
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character gets its escape; no name of an agent ends the command.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = command.main(prog_name="actctl", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.ClickException as error:
        return _told(error)
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except OSError as error:
        if error.errno == errno.EPIPE:
            _stop_writing()
            return FAILED
        return _told(click.ClickException(_sentence(error)))
    except Exception as error:
        if os.environ.get("ACT_TRACEBACK"):
            raise
        said = f"actctl failed ({type(error).__name__}). Set ACT_TRACEBACK=1 to see where, and please report it."
        return _told(click.ClickException(said))


def _told(error: click.ClickException) -> int:
    try:
        if isinstance(error, click.UsageError):
            error.show()
        else:
            click.echo(f"Error: {escaped(error.format_message())}", err=True)
    except BrokenPipeError:
        _stop_writing()
    return error.exit_code


def _sentence(error: OSError) -> str:
    what = error.strerror or str(error)
    return f"{error.filename}: {what}." if error.filename else f"{what}."


def _stop_writing() -> None:
    """Let go of a pipe that nobody reads any more; without this Python complains about it at its end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
