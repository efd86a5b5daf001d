"""Conditions from the inside: parsed and type-checked by the binding, evaluated within a budget of steps (ADR 9).

`act.policies.conditions` is the door; nothing else imports what is in here.
"""
