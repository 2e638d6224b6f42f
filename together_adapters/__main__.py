"""`python -m together_adapters`: the same as `together-adapters`."""

from __future__ import annotations

from together_adapters.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
