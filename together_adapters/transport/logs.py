"""Logging: `TOGETHER_LOG=info` or `debug` logs each attempt, without keys, queries, prompts or rows."""

from __future__ import annotations

import logging
import os
from functools import lru_cache

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO}


@lru_cache(maxsize=1)
def configure_logging() -> None:
    """Writes the log of this library to stderr if `TOGETHER_LOG` is set. Done once."""
    level = _LEVELS.get(os.environ.get("TOGETHER_LOG", "").lower())
    if level is None:
        return
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    logger = logging.getLogger("together_adapters")
    logger.addHandler(handler)
    logger.setLevel(level)
