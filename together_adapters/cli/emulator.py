"""`emulator`: the local server, from a shell."""

from __future__ import annotations

import signal
import threading

import click

from together_adapters.cli.command import Command, Session
from together_adapters.cli.output import document, note, write

_BAD_ADDRESS = 1


@click.command("emulator", cls=Command)
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65_535), default=0, metavar="N", help="Port to listen on; a free one by default.")
@click.option("--strict", is_flag=True, help="Refuse unknown parameters with a 422.")
@click.option("--api-key", metavar="KEY", help="The only key to accept; any by default, but `invalid` and `bad...`.")
@click.option("--allow-code-execution", is_flag=True, help="Let the code interpreter run code on this machine.")
@click.option(
    "--job-seconds",
    type=click.FloatRange(0),
    default=1.5,
    show_default=True,
    metavar="SECONDS",
    help="How long a fine-tune takes.",
)
@click.pass_context
def emulator(
    ctx: click.Context, host: str, port: int, strict: bool, api_key: str | None, allow_code_execution: bool, job_seconds: float
) -> None:
    """Run a local server that speaks the same API, until Ctrl-C. The first line of stdout is its base URL.

    It needs no key and no network; it is no language model. Commands in another shell find it with TOGETHER_BASE_URL.
    """
    from together_adapters.emulator import Behaviour, serve

    session: Session = ctx.obj
    session.hide(api_key)
    told = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: told.set())
    try:
        with serve(
            port,
            host,
            api_key,
            Behaviour(strict=strict),
            keep=1_000,
            allow_code_execution=allow_code_execution,
            job_seconds=job_seconds,
        ) as running:
            if session.as_json:
                document({"base_url": running.base_url})
            else:
                write(f"{running.base_url}\n")
            told.wait()
    except OSError as problem:
        if isinstance(problem, BrokenPipeError):
            raise
        note(f"error: cannot listen on {host}:{port}: {problem}")
        ctx.exit(_BAD_ADDRESS)
