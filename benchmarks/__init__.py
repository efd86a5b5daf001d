"""Measurements. They print ratios against a floor of the same run, and gate nothing."""
