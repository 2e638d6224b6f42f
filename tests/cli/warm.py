"""The command line in a warm process: its imports, and one run."""

from __future__ import annotations

import pkgutil
import sys
import warnings
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path


def load() -> None:
    """Imports the modules that commands import."""
    # Matplotlib before 3.10.7 calls pyparsing by names that are deprecated since its version 3.3.
    warnings.filterwarnings("ignore", r"'\w+' deprecated - use", DeprecationWarning)
    from together_adapters import cli, resources, transport, types

    for package in (cli, resources, transport, types):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                import_module(module.name)
    names = ["validation.check_jsonl", "job", "loading", "splitting", "writing.write_jsonl"]
    if find_spec("msgspec"):
        names.append("validation.fast_validator")
    for name in names:
        import_module(f"together_adapters.finetune.{name}")
    # Modules of the first request and the first table.
    for name in ("together_adapters.client", "encodings.idna", "httpcore", "rich.progress", "rich.table"):
        import_module(name)
    from together_adapters.transport.connections import ssl_context
    from together_adapters.transport.http_library import library_of
    from together_adapters.types.response import ResponseModel

    ssl_context(library_of(None))
    for model in ResponseModel.__subclasses__():
        model.model_rebuild()


def run(arguments: list[str]) -> None:
    """Runs one command as the process."""
    from together_adapters import cli

    sys.argv = [str(Path(cli.__file__).parent / "__main__.py"), *arguments]
    sys.exit(cli.main())
