"""`make bench`: all measurements, one table each."""

from __future__ import annotations

import platform

from benchmarks import engine, over_http, wrk

if __name__ == "__main__":
    print(f"Python {platform.python_version()}, {platform.machine()}, {platform.system()}\n")
    engine.main()
    try:
        over_http.main()
    except wrk.DriverMissing as missing:
        print(missing)
