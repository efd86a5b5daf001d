"""Outgoing webhooks: what happened, told to programs of the tenant (docs/webhooks.md)."""
