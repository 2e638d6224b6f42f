"""`usage ledger`: the sums of a ledger's rows as a table, as JSON and as a plot."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from together_adapters.cli.command import Command, Session
from together_adapters.cli.options import EXISTING_FILE, NEW_FILE, check_new, overwrite_option
from together_adapters.cli.output import Column, Result, Table
from together_adapters.cli.terminal import note

if TYPE_CHECKING:
    from together_adapters.control.ledger import Key
    from together_adapters.control.usage import Usage

_UNITS: Final = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_AGE: Final = re.compile(r"(\d{1,5})([mhdw])")
_TIME_KEYS: Final = ("day", "hour")


def parse_time(ctx: click.Context, parameter: click.Parameter, text: str | None) -> datetime | None:
    """Returns a time: `2026-11-29`, `2026-11-29T14:00`, of UTC without a zone, or an age such as `7d`."""
    if text is None:
        return None
    if match := _AGE.fullmatch(text):
        return datetime.now(UTC) - int(match[1]) * _UNITS[match[2]]
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        message = f"{text!r} is neither a time (2026-11-29, 2026-11-29T14:00) nor an age (30m, 24h, 7d, 2w)"
        raise click.BadParameter(message, ctx, parameter) from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _parse_keys(ctx: click.Context, parameter: click.Parameter, text: str) -> list[str]:
    from together_adapters.control.grouping import group_of

    keys = [key.strip() for key in text.split(",")]
    try:
        for key in keys:
            group_of(key)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, parameter) from None
    return keys


@click.command("ledger", cls=Command)
@click.argument("ledger", type=EXISTING_FILE)
@click.option(
    "--by", default="model", metavar="KEY,...", callback=_parse_keys, help="model, kind, status, error, day, hour, tag.NAME."
)
@click.option(
    "--since", metavar="TIME", callback=parse_time, help="Start: 2026-11-29, 2026-11-29T14:00 (UTC), or 30m, 24h, 7d ago."
)
@click.option("--until", metavar="TIME", callback=parse_time, help="End, as for --since; calls that began before it.")
@click.option(
    "--plot",
    "picture",
    type=NEW_FILE,
    metavar="FILE",
    help="Plot the costs over time, stacked by the first key: .png, .svg, .pdf.",
)
@overwrite_option
def ledger(
    session: Session,
    ledger: Path,
    by: list[str],
    since: datetime | None,
    until: datetime | None,
    picture: Path | None,
    overwrite: bool,
) -> Result:
    """Show what a ledger holds: calls, tokens and dollars, with a row for each value of the keys.

    Needs no key and no network, and may run while programs write to the ledger. Days and hours are of UTC; sums by them are in the order
    of time, others begin with the highest cost. JSON has every field.

    Example: together-adapters usage usage.sqlite --by model,tag.job --since 7d --plot costs.png
    """
    from together_adapters.control.ledger import Ledger
    from together_adapters.control.usage import Usage
    from together_adapters.plots import check_picture

    if picture is not None:
        check_picture(check_new(picture, overwrite))
    with Ledger.open(ledger, read_only=True) as opened:
        sums = opened.by(*by, since=since, until=until)
        absent = [key for index, key in enumerate(by) if key.startswith("tag.") and all(pair[0][index] is None for pair in sums)]
        tags = opened.tag_names() if sums and absent else []
        if picture is not None:
            key = next((key for key in by if key not in _TIME_KEYS), "model")
            opened.plot(picture, by=key, since=since, until=until, title=ledger.name, overwrite=overwrite)
            note(f"saved the plot to {picture}")
    if by[0] in _TIME_KEYS:
        sums.sort(key=lambda pair: str(pair[0][0]))
    total = sum((usage for _, usage in sums), Usage())
    report = {
        "ledger": str(ledger),
        "since": since and since.isoformat(),
        "until": until and until.isoformat(),
        "by": by,
        "groups": [{"key": dict(zip(by, key, strict=True)), **dataclasses.asdict(usage)} for key, usage in sums],
        "total": dataclasses.asdict(total),
    }
    if sums and absent:
        names = ", ".join(f"tag.{name}" for name in tags) or "none"
        note(f"no call has {' or '.join(absent)}; tags of this ledger: {names}")
    return Result(report, lambda _: _show(by, sums, total))


def _show(by: Sequence[str], sums: Sequence[tuple[Key, Usage]], total: Usage) -> None:
    from together_adapters.control.dollars import fraction_digits

    rows = [*sums, (("Total", *[""] * (len(by) - 1)), total)] if sums else []
    _table(by, fraction_digits(total.cost))(rows)
    if total.unpriced:
        note(f"{_calls(total.unpriced)} without a known price: the costs leave {_them(total.unpriced)} out (Control has prices=)")
    if total.estimated:
        note(f"{_calls(total.estimated)} with estimated tokens: the service did not say how many")


def _table(by: Sequence[str], digits: int) -> Table:
    keys = [Column(_title(key), partial(_key, index), whole=True) for index, key in enumerate(by)]
    return Table(
        *keys,
        _count("Calls", "requests"),
        _count("Attempts", "attempts", drop=6),
        _count("Input", "input_tokens"),
        _count("Cached", "cached_tokens", drop=1),
        _count("Output", "output_tokens"),
        _count("Reasoning", "reasoning_tokens", drop=2),
        Column("s/call", lambda row: f"{row[1].seconds / max(row[1].requests, 1):,.2f}", right=True, drop=5),
        Column("Cost", lambda row: _cost(row[1], digits), right=True, no_wrap=True),
        _count("Estimated", "estimated", drop=4),
        _count("Unpriced", "unpriced", drop=3),
        empty="No calls.",
        has_total=True,
    )


def _count(title: str, name: str, drop: int = 0) -> Column:
    """Returns a column of numbers; those that may be left out are empty for zero, and are not shown if all are."""
    return Column(
        title, lambda row: getattr(row[1], name) or (None if drop else 0), "{:,}".format, right=True, no_wrap=True, drop=drop
    )


def _title(key: str) -> str:
    return f"{key.capitalize()} (UTC)" if key in _TIME_KEYS else key if key.startswith("tag.") else key.capitalize()


def _key(index: int, row: tuple[Key, Usage]) -> str:
    value = row[0][index]
    return "-" if value is None else str(value)


def _cost(usage: Usage, digits: int) -> str:
    from together_adapters.control.dollars import format_dollars

    return "unknown" if usage.requests == usage.unpriced else format_dollars(usage.cost, digits)


def _calls(count: int) -> str:
    return f"{count:,} call{'' if count == 1 else 's'}"


def _them(count: int) -> str:
    return "it" if count == 1 else "them"
