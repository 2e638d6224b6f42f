"""The command line in a warm process: what it imports, and one run of it."""

from __future__ import annotations

import pkgutil
import sys
from importlib import import_module
from pathlib import Path


def load() -> None:
    """Import what commands import."""
    from together_adapters import cli, resources, transport, types

    for package in (cli, resources, transport, types):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                import_module(module.name)
    for name in ("validation.check_jsonl", "validation.fast_validator", "job", "loading", "splitting", "writing.write_jsonl"):
        import_module(f"together_adapters.finetune.{name}")
    # What comes with the first request and the first table.
    for name in ("together_adapters.client", "encodings.idna", "httpcore", "rich.progress", "rich.table"):
        import_module(name)
    from together_adapters.transport.pool import ssl_context
    from together_adapters.types.response import ResponseModel

    ssl_context()
    for model in ResponseModel.__subclasses__():
        model.model_rebuild()


def run(arguments: list[str]) -> None:
    """Be the process of one command."""
    from together_adapters import cli

    sys.argv = [str(Path(cli.__file__).parent / "__main__.py"), *arguments]
    sys.exit(cli.main())
