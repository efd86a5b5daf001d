"""Limits: what is counted, in memory for every decision and durably for the time after a restart."""
