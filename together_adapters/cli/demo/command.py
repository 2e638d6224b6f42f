"""The command: a question from an option, from the menu of a terminal, or the first of the menu."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from together_adapters._lazy import require
from together_adapters._version import __version__
from together_adapters.cli.command import Command, Session
from together_adapters.cli.demo.interrupts import exit_on_interrupt
from together_adapters.cli.demo.menu import QUESTIONS, read_question
from together_adapters.cli.output import Result
from together_adapters.cli.terminal import bold, is_terminal, note, spinner, write
from together_adapters.errors import TogetherError
from together_adapters.types.capabilities import DEFAULT_CHAT_MODEL, DEFAULT_RERANK_MODEL

if TYPE_CHECKING:
    from together_adapters.cli.demo.run import Run
    from together_adapters.demo.service import Mode

_READING_SPEED = 0.01  # seconds between the chunks of an emulator, in a terminal


@click.command("demo", cls=Command)
@click.option(
    "--question", metavar="TEXT", help="Answer this question alone. Default: a menu in a terminal, elsewhere its first."
)
@click.option("--answer-only", is_flag=True, help="Leave out what the library does besides answering.")
@click.option(
    "--model", envvar="TOGETHER_CHAT_MODEL", default=DEFAULT_CHAT_MODEL, metavar="NAME", help="The chat model that answers."
)
@click.option("--rank-model", default=DEFAULT_RERANK_MODEL, metavar="NAME", help="The chat model that ranks passages.")
@click.option(
    "--emulator",
    "mode",
    envvar="TOGETHER_EMULATOR",
    type=click.Choice(["default", "strict"]),
    help="Use an emulator although a key or a URL is set; a strict one serves only what the service does today.",
)
def demo(session: Session, question: str | None, answer_only: bool, mode: Mode | None, **models: str) -> Result:
    """Ask Python's language reference: an answer that cites its sources, then what the library does besides.

    Keywords find passages, a small chat model ranks them, a larger one answers: the service offers no other models for this today.
    The same prompt goes through LangChain and LlamaIndex, where they are installed.

    Without a key it runs on an emulator in this process, which answers in quotations and costs nothing. There it also shows a
    refused request, a stream that breaks, and embeddings.

    With TOGETHER_API_KEY or TOGETHER_BASE_URL it asks that service, lets nothing fail, and says what a question costs before it is
    sent and after: less than a cent, by the table of models. It was not tried on the live service yet.

    It needs pip install "together-adapters[demo]"; [langchain] and [llama-index] for their parts. Ctrl-C ends it at any moment.

    Examples:
      together-adapters demo
      together-adapters demo --question "What is a coroutine?"
      together-adapters demo --emulator strict --answer-only
    """
    if question is not None and not question.strip():
        raise click.UsageError("--question must not be empty")
    require("the demo", "demo", "bm25s", "starlette", "uvicorn", "jsonschema", "regex")
    has_menu = question is None and not session.as_json and is_terminal(sys.stdin) and is_terminal(sys.stdout)
    questions = iter(read_question, None) if has_menu else [question or QUESTIONS[0]]
    with exit_on_interrupt():
        if not session.as_json:
            write(bold(f"together-adapters {__version__}: ask Python's language reference") + "\n")
        return Result(_answer(session, questions, mode, models, with_features=not answer_only), lambda _: None)


def _answer(
    session: Session, questions: Iterable[str], mode: Mode | None, models: dict[str, str], *, with_features: bool
) -> dict[str, Any] | None:
    """Answers the questions; in a menu, an error of the service ends one answer. Returns the last answer as data."""
    result, run = None, None
    with ExitStack() as stack:
        for question in questions:
            run = run or _start(session, stack, mode, models)
            try:
                result = run.answer(question, with_features=with_features)
            except TogetherError as error:
                if isinstance(questions, list):
                    raise
                note(session.error_line(error))
            else:
                with_features = False  # they are the same for each question
    return result


def _start(session: Session, stack: ExitStack, mode: Mode | None, models: dict[str, str]) -> Run:
    """Imports what takes time, and connects to the service."""
    with spinner("Starting"):
        from together_adapters.cli.demo.page import Page
        from together_adapters.cli.demo.run import start
        from together_adapters.demo.service import is_configured

        mode = mode or (None if is_configured(session.settings) else "default")
        page = Page(quiet=session.as_json)
        delay = _READING_SPEED if is_terminal(sys.stdout) else 0.0
        run = stack.enter_context(start(session.settings, mode, page, delay=delay, **models))
    service = run.service
    if service.emulator is None:
        page.line("Service", f"{service.client.base_url}")
    else:
        reason = "" if is_configured(session.settings) else ", as TOGETHER_API_KEY is not set"
        page.line("Service", f"an emulator in this process{reason}: it answers in quotations, and nothing costs anything.")
    return run
