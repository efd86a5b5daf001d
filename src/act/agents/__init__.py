"""Agents: who can act at all."""
