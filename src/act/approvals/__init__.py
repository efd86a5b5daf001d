"""Approvals: a person allows or refuses exactly one action, once."""
