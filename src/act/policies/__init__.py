"""Policies: who may do what on which resource under which constraints (2-semantics, "Policies")."""
