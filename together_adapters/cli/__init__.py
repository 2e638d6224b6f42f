"""`together-adapters`: the command line. Exit codes: 0 done, 1 invalid data, 2 wrong usage, 3 service or network error.

Results go to stdout; questions, notes, progress bars and errors go to stderr.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from importlib.util import find_spec

from together_adapters._lazy import pip_install


def main() -> int:
    """Runs the command line; returns its exit code."""
    if missing := [package for package in ("click", "rich") if find_spec(package) is None]:
        extra = next((name for name in sys.argv[1:2] if name in {"demo", "emulator"}), "cli")  # both have `cli`
        sys.stderr.write(f"error: the command line needs {' and '.join(missing)}: {pip_install(extra)}\n")
        return 2
    try:
        from together_adapters.cli.app import run

        return run()
    except KeyboardInterrupt:
        return 130  # as shells report it
    finally:
        import signal

        with suppress(ValueError):  # in another thread
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # an exception while Python exits would be printed
