"""Whom the key belongs to, and what was used: `/v3/whoami`, `/v1/projects` and `/v1/billing/usage`. There is one organization with one project."""

from __future__ import annotations

import re
from typing import Any, Final

from together_adapters.emulator.errors import ApiError, bad_request
from together_adapters.emulator.http.routing import RequestContext, json_route
from together_adapters.emulator.routes.pages import page

ORGANIZATION: Final = "org-emulator"
PROJECT: Final = "emulated-project"
_MONTH: Final = re.compile(r"\d{4}-(0[1-9]|1[0-2])")


def _whoami(context: RequestContext) -> dict[str, Any]:
    return {
        "type": "project_api_key",
        "api_key": {"id": "key-emulator"},
        "organization": {"id": ORGANIZATION, "name": "Emulator"},
        "project": {"id": PROJECT, "name": "Emulated project", "slug": PROJECT},
    }


def _costs(context: RequestContext) -> dict[str, Any]:
    query, ledger = context.request.query_params, context.stores.costs
    month, granularity = query.get("month") or ledger.month(), query.get("granularity") or "day"
    if not _MONTH.fullmatch(month):
        raise bad_request("month must have the format YYYY-MM.", param="month")
    if granularity not in ("day", "hour"):
        raise bad_request("granularity must be day or hour.", param="granularity")
    if query.get("organization_id", ORGANIZATION) != ORGANIZATION:
        raise ApiError(403, "The API key belongs to another organization.", param="organization_id", code="forbidden")
    windows = ledger.windows(month, granularity)
    return page(context, windows, key="start_time") | {
        "organization_id": ORGANIZATION,
        "billing_period": month,
        "currency": "USD",
        "earliest_window_start": windows[0]["start_time"] if windows else None,
        "latest_window_end": windows[-1]["end_time"] if windows else None,
    }


def _projects(context: RequestContext) -> dict[str, Any]:
    project = {"id": PROJECT, "name": "Emulated project", "slug": PROJECT}
    return page(context, [project | {"organization_id": ORGANIZATION, "organization_name": "Emulator"}])


ROUTES: Any = [
    json_route("/v1/projects", _projects, method="GET"),
    json_route("/v3/whoami", _whoami, method="GET"),
    json_route("/v1/billing/usage", _costs, method="GET"),
]
