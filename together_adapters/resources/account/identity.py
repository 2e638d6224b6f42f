"""Whom the API key belongs to, and the project that calls of a project go to."""

from __future__ import annotations

from typing import Unpack

from together_adapters.errors import ConfigurationError, NotFoundError
from together_adapters.transport.call import Call, Flow, Remember, once, request, segment
from together_adapters.transport.model_parser import ResponseParser
from together_adapters.types.account.identity import Identity
from together_adapters.types.requests import RequestOptions

_parse = ResponseParser(Identity)
_ADVICE = "pass project_id=... or set TOGETHER_PROJECT_ID"


def whoami(**options: Unpack[RequestOptions]) -> Call[Identity]:
    """Returns whom the API key belongs to: its organization, its user or project, and the id of the key.

    As in the `together` 3.x SDK, whose description this follows; not checked against the live service.
    """
    return request("GET", "/v3/whoami", _parse, options=options)


def project_path(project_id: str | None) -> Flow[str]:
    """Returns the path of a project: of the argument, of the client's settings, or that of the API key, which is asked for once."""
    memory = yield Remember()
    project = project_id or memory.project_id
    if project is None and project_id is None:
        try:
            identity: Identity = yield from once("whoami", whoami())
        except NotFoundError:
            raise ConfigurationError(
                f"no project, and the server does not say to which one the API key belongs: {_ADVICE}"
            ) from None
        project = identity.project.id if identity.project else None
        if not project:
            raise ConfigurationError(f"no project, and the API key belongs to none: {_ADVICE}")
    return f"/v2/projects/{segment(project or '', 'project_id')}"
