"""The commands, put together."""

from __future__ import annotations

import click

from act.cli.node import migrate, serve


@click.group()
def actctl() -> None:
    """ACT: permissions for systems of AI agents."""


for command in (serve, migrate):
    actctl.add_command(command)


def run() -> None:
    actctl()
