"""What the organization of the API key has used, and what it costs."""

from __future__ import annotations

from typing import Literal, Unpack

from together_adapters.resources.account.pages import read_pages
from together_adapters.transport.binding import D, R, Resource, method
from together_adapters.transport.call import Flow, request
from together_adapters.transport.model_parser import ResponseParser
from together_adapters.types.account.costs import CostReport
from together_adapters.types.requests import RequestOptions

_parse = ResponseParser(CostReport)


def costs(
    *,
    month: str | None = None,
    granularity: Literal["day", "hour"] | str | None = None,
    organization_id: str | None = None,
    limit: int | None = None,
    after: str | None = None,
    **options: Unpack[RequestOptions],
) -> Flow[CostReport]:
    """Returns what the organization has used in a month, by day or hour and product. All pages are read.

    As `organization.usage.costs.list` of the `together` 3.x SDK, whose description this follows; not checked against the live service.

    Args:
        month: The month as `YYYY-MM`; None for the present one, whose report ends with yesterday, or with the last hour.
        granularity: `day` or `hour`; by default that of the service.
        organization_id: The organization of the key, which is the only one that the service reports on.
        limit: Maximum number of windows.
        after: The `next_cursor` of a report for the same month and granularity, after which this one begins.

    Returns:
        The report. `total` is its sum in dollars, `next_cursor` what `limit` left out.
    """
    query = {"month": month, "granularity": granularity, "organization_id": organization_id}
    call = request("GET", "/v1/billing/usage", _parse, query=query, options=options)
    return (yield from read_pages(call, limit, after))


class Usage(Resource[D, R]):
    """`client.usage`."""

    with_raw_response: Usage[R, R]
    costs = method(costs)
