"""Handing rights down from one agent to another, and looking at what was handed down."""
