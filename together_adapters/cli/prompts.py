"""Questions to the user before a command costs money or deletes something."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from together_adapters.cli.exit_codes import DeclinedError
from together_adapters.cli.output import is_terminal, note

if TYPE_CHECKING:
    from together_adapters.types.fine_tuning import FinetunePriceEstimate


def confirm(question: str, *, default: bool, flag: str) -> None:
    """Asks a question on stderr.

    Args:
        question: The question.
        default: The meaning of an empty answer.
        flag: The flag that answers it on the command line.

    Raises:
        DeclinedError: The answer is no.
        UsageError: stdin ends before an answer.
    """
    try:
        answer = click.confirm(question, default=default, err=True)
    except click.Abort:
        if is_terminal(sys.stdin):
            raise
        note("")
        raise click.UsageError(f"no answer on stdin: pass {flag}") from None
    if not is_terminal(sys.stdin):
        note("")
    if not answer:
        raise DeclinedError("declined: nothing was done")


def note_price(estimate: FinetunePriceEstimate) -> str:
    """Writes the estimated price of a fine-tuning job to stderr; returns it as text."""
    price = f"unknown ({estimate.unavailable_reason or 'the service gives no reason'})"
    if estimate.available:
        price = f"${estimate.estimated_total_price or 0:,.2f}"
    note(f"The estimated price of this job is {price}.")
    if estimate.allowed_to_proceed is False:
        note("warning: the price exceeds the spending limit of the account; the service would probably cancel the job")
    return price
