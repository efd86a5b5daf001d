"""Enforcement: the street from a request to its answer."""
