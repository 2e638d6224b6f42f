"""A process that has the command line loaded and forks for each run: starting Python anew each time would take minutes.

It reads one JSON object a line, `{"arguments", "folder", "environment", "streams"}`, and answers with the exit code of the process
that ran it.
"""

from __future__ import annotations

import json
import os
import pkgutil
import signal
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

SECONDS = 60


def load() -> None:
    """Import what commands import."""
    from together_adapters import cli

    for module in pkgutil.walk_packages(cli.__path__, f"{cli.__name__}."):
        if not module.name.endswith("__main__"):
            import_module(module.name)
    for name in ("client", "resources.files", "finetune.checker", "finetune.glance", "finetune.job", "types.chat"):
        import_module(f"together_adapters.{name}")
    from together_adapters.transport.wire import ssl_context
    from together_adapters.types.answer import Answer

    ssl_context()
    for model in Answer.__subclasses__():
        model.model_rebuild()


def run(wanted: dict[str, Any]) -> None:
    """Be the process of one command."""
    from together_adapters import cli

    signal.alarm(SECONDS)
    coding = wanted["environment"].get("PYTHONIOENCODING", "utf-8")
    os.chdir(wanted["folder"])
    os.environ.clear()
    os.environ.update(wanted["environment"])
    for number, (path, flags) in enumerate(zip(wanted["streams"], (os.O_RDONLY, os.O_WRONLY, os.O_WRONLY), strict=True)):
        os.dup2(os.open(path, flags), number)
    sys.stdin, sys.stdout, sys.stderr = (open(number, mode, encoding=coding, closefd=False) for number, mode in enumerate("rww"))  # noqa: SIM115
    sys.argv = [str(Path(cli.__file__).parent / "__main__.py"), *wanted["arguments"]]
    sys.exit(cli.main())


def main() -> None:
    load()
    for line in sys.stdin:
        child = os.fork()
        if not child:
            run(json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
