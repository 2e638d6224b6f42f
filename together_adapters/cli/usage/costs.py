"""`usage costs`: what the service says that the organization has used."""

from __future__ import annotations

from typing import Any, Final

import click

from together_adapters.cli.command import Command, Session
from together_adapters.cli.options import COUNT
from together_adapters.cli.output import Column, Result, Table
from together_adapters.cli.terminal import note

_COSTS: Final = Table(
    Column("Date", lambda row: row[0].date),
    Column("Start", lambda row: row[0].start_time, drop=2),
    Column("Product", lambda row: row[1].product_name),
    Column("Details", lambda row: ", ".join(row[1].pricing_dimensions.values()), drop=1),
    Column("Quantity", lambda row: row[1].quantity, right=True),
    Column("Cost", lambda row: row[1].cost, right=True),
    empty="No costs.",
)


@click.command("costs", cls=Command)
@click.option("--month", metavar="YYYY-MM", help="Month. Default: the present one.")
@click.option("--granularity", type=click.Choice(["day", "hour"]), help="Length of a window.")
@click.option("--limit", type=COUNT, metavar="N", help="Maximum number of windows.")
def costs(session: Session, /, **options: Any) -> Result:
    """Show the costs of a month in dollars, by day or hour and product."""
    report = session.client.usage.costs(**options)

    def show(_: Any) -> None:
        _COSTS([(window, item) for window in report.data for item in window.line_items])
        note(f"total: ${report.total:f}" + (" (without the windows after the limit)" if report.next_cursor else ""))

    return Result(report, show)
