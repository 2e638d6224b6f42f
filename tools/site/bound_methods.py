"""Shows the methods that a descriptor makes of functions, with signature and docstring, in the reference."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from typing import Any

import griffe

from together_adapters.transport.binding import Sync, method

PARSER_OPTIONS: Any = {"warn_unknown_params": False, "warn_missing_types": False}


class BoundMethods(griffe.Extension):
    """Replaces what the source of a resource says of its methods by what they are for a user of the synchronous client."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Walks through the modules of the resources once they are loaded."""
        if pkg.name == "together_adapters":
            del pkg["transport.binding"]["Resource"].members["__init__"]  # of no use to users
            for module in (pkg["resources"], pkg["client"]):
                self._visit(module)

    def _visit(self, module: griffe.Module) -> None:
        for member in list(module.members.values()):
            if member.is_alias:
                continue
            if isinstance(member, griffe.Module):
                self._visit(member)
            elif isinstance(member, griffe.Class) and any(
                "Resource" in str(base) for base in member.bases
            ):  # others may need an extra
                self._replace(member, getattr(import_module(module.path), member.name))

    def _replace(self, shown: griffe.Class, kind: Any) -> None:
        for name, value in vars(kind).items():
            if name.startswith("_"):
                continue
            if isinstance(value, method):
                shown.set_member(name, _function(shown, name, value._bind(Sync.returns)))
            elif inspect.isfunction(value) and hasattr(value, "__signature__"):
                shown.set_member(name, _function(shown, name, value))


def _annotation(hint: Any) -> str | None:
    """An annotation as its author wrote it: without the modules of its names."""
    if hint is inspect.Parameter.empty:
        return None
    return re.sub(r"(?:\w+\.)+(\w+)", r"\1", hint if isinstance(hint, str) else inspect.formatannotation(hint))


def _function(owner: griffe.Class, name: str, function: Any) -> griffe.Function:
    signature = inspect.signature(function)
    parameters = griffe.Parameters(
        *(
            griffe.Parameter(
                parameter.name,
                annotation=_annotation(parameter.annotation),
                kind=griffe.ParameterKind(parameter.kind.description),
                default=None if parameter.default is parameter.empty else repr(parameter.default),
            )
            for parameter in signature.parameters.values()
        )
    )
    made = griffe.Function(name, parameters=parameters, returns=_annotation(signature.return_annotation), parent=owner)
    made.docstring = griffe.Docstring(inspect.getdoc(function) or "", parent=made, parser="google", parser_options=PARSER_OPTIONS)
    return made
