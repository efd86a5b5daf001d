"""What may not be made in a frozen tenant."""

from __future__ import annotations

from sqlalchemy import Connection

from act.problems import ProblemError, conflict
from act.tenants import store


def refuse_frozen(connection: Connection, tenant_id: str) -> None:
    """Refuse to make a token. Ask in the transaction that makes it: then none slips past a freeze under way.

    Raises:
        ProblemError: 409 `tenant_frozen`.
    """
    row = store.tenant_row(connection, tenant_id)
    if row is None or row.frozen_at is not None:
        raise tenant_frozen()


def tenant_frozen() -> ProblemError:
    return conflict("tenant_frozen", "The tenant is frozen: no token is made until it is unfrozen.")
