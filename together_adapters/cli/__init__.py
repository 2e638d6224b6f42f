"""`together-adapters`: the library from a shell. Exit codes: 0 done, 1 the data is not right, 2 usage, 3 the service or network.

Documents and tables go to stdout; questions, notes, bars and errors to stderr.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec

INTERRUPTED = 130


def main() -> int:
    """Run the command line; return its exit code."""
    if missing := [package for package in ("click", "rich") if find_spec(package) is None]:
        sys.stderr.write(f'error: the command line needs {" and ".join(missing)}: pip install "together-adapters[cli]"\n')
        return 2
    try:
        from together_adapters.cli.app import run

        return run()
    except KeyboardInterrupt:
        return INTERRUPTED
