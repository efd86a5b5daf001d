"""The Python SDK: `Act`, `AsyncAct`, guards, errors. Import them from `act`."""
