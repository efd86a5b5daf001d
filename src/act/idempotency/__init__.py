"""Idempotency: what was carried out under an `Idempotency-Key` is not carried out again."""
