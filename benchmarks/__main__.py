"""`make bench`: all measurements, one table each."""

from __future__ import annotations

import platform

from benchmarks import engine, http

if __name__ == "__main__":
    print(f"Python {platform.python_version()}, {platform.machine()}, {platform.system()}\n")
    engine.main()
    http.main()
