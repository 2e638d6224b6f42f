"""`together_adapters.errors` has every error that resources raise, and describes its attributes."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import together_adapters
from together_adapters import JobFailedError, TogetherError, errors

ROOT = Path(together_adapters.__file__).parent
KINDS = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, TogetherError)}


def test_every_error_says_what_it_means() -> None:
    assert [kind.__name__ for kind in KINDS if "__doc__" not in vars(kind) or not inspect.getdoc(kind)] == []


def test_every_attribute_of_an_error_is_described() -> None:
    without_description = {
        f"{kind.__name__}.{name}"
        for kind in KINDS
        for name in vars(kind).get("__annotations__", {})
        if f"{name}:" not in (inspect.getdoc(kind) or "") and name != "response"
    }
    assert without_description == set()
    assert JobFailedError().events == ()


def test_no_resource_has_errors_of_its_own() -> None:
    result = {}
    for path in sorted((ROOT / "resources").glob("*.py")):
        tree = ast.parse(path.read_text())
        classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]
        own_errors = [node.name for node in classes if any(ast.unparse(base) in vars(errors) for base in node.bases)]
        if own_errors:
            result[path.name] = own_errors
    assert result == {}
