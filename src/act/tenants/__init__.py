"""Tenants and their API keys: which platform caller this is."""
