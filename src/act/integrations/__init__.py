"""Enforcement inside agent frameworks: one guard per framework over one shared core (5-agent-frameworks)."""
