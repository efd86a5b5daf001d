"""What `actctl demo` runs: everything offline and deterministic."""
