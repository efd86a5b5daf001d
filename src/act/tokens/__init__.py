"""Capability tokens: signed, short-lived, and never wider than the live policies."""
