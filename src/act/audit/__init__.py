"""Audit: what was answered and changed, in an order that cannot be quietly altered."""
