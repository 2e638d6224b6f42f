"""Lazy packages: a name is imported when it is first used, so that importing the package costs next to nothing (PEP 562).

Also what to install where an import fails.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any


def attach(
    package: str,
    modules: Mapping[str, str],
    before_import: Callable[[], object] | None = None,
    *,
    subpackages: Collection[str] = (),
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Returns the `__getattr__` and `__dir__` of a package whose names are in modules relative to it: `{"Together": ".client"}`.

    Its `subpackages` are attributes, too, without an import of theirs.
    """

    def get_attribute(name: str) -> Any:
        if name in subpackages:
            return import_module(f".{name}", package)
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        if before_import:
            before_import()
        value = getattr(import_module(modules[name], package), name)
        setattr(sys.modules[package], name, value)
        return value

    return get_attribute, lambda: sorted({*sys.modules[package].__all__, *subpackages})


def require(feature: str, extra: str, *modules: str) -> None:
    """Raises an `ImportError` that names the extra to install, if one of its modules is missing."""
    if missing := [module.replace("_", "-").replace(".", "-") for module in modules if not _is_installed(module)]:
        raise ImportError(f"{feature} needs {' and '.join(missing)}: {pip_install(extra)}")


def pip_install(extra: str) -> str:
    """Returns the command that installs an extra, also for who installed the package from a clone."""
    return f'pip install "together-adapters[{extra}]" (".[{extra}]" in a clone)'


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # its parent package is missing
        return False
