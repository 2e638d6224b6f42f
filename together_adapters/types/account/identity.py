"""Whom an API key belongs to."""

from __future__ import annotations

from together_adapters.types.response import ResponseModel


class IdentityKey(ResponseModel):
    """The API key of a request: its id, not its text."""

    id: str | None = None


class IdentityUser(ResponseModel):
    """The user of a request."""

    id: str | None = None


class IdentityOrganization(ResponseModel):
    """An organization."""

    id: str | None = None
    name: str | None = None


class IdentityProject(ResponseModel):
    """A project. Its `slug` begins the model names of its dedicated endpoints."""

    id: str | None = None
    name: str | None = None
    slug: str | None = None


class Identity(ResponseModel):
    """Whom an API key belongs to. `type` says which of the others there are: a key of an organization names no project."""

    type: str | None = None
    api_key: IdentityKey | None = None
    user: IdentityUser | None = None
    organization: IdentityOrganization | None = None
    project: IdentityProject | None = None
