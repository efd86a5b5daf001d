"""The commands, put together."""

from __future__ import annotations

import click

from act.cli.agents import agents
from act.cli.api_keys import api_keys
from act.cli.approvals import approvals
from act.cli.audit import audit
from act.cli.backup import backup, recover, restore
from act.cli.command import Group
from act.cli.delegations import delegations
from act.cli.demo import demo
from act.cli.doctor import doctor
from act.cli.enforce import enforce, outcome
from act.cli.keys import keys
from act.cli.node import migrate, serve
from act.cli.policies import policies
from act.cli.policy_test import policy
from act.cli.running import run_quietly
from act.cli.templates import templates
from act.cli.tenants import tenants
from act.cli.tokens import tokens
from act.cli.webhooks import webhooks

COMMANDS: tuple[click.Command, ...] = (
    agents,
    policies,
    policy,
    templates,
    tokens,
    delegations,
    enforce,
    outcome,
    approvals,
    audit,
    api_keys,
    keys,
    tenants,
    webhooks,
    serve,
    migrate,
    backup,
    restore,
    recover,
    demo,
    doctor,
)


@click.group(
    cls=Group,
    commands=list(COMMANDS),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(package_name="agent-capability-tokens", message="actctl %(version)s")
def actctl() -> None:
    """ACT: permissions for systems of AI agents.

    Data goes to stdout, words to stderr. The server is ACT_BASE_URL, the API key ACT_API_KEY or --api-key-file.

    \b
    Exit codes: 0 done or allowed, 1 error, 2 usage, 3 denied, 4 pending approval.
    """


def run() -> int:
    """Run the command line of this process; its exit code."""
    return run_quietly(actctl)
