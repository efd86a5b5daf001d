"""The server: where everything is put together and given an address."""
