"""Other engines on the same tenants. Each file runs by itself, in an environment of its own."""
