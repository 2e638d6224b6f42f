"""`emulator`: the emulator as a server."""

from __future__ import annotations

import signal
import threading

import click

from together_adapters.cli.command import Command, Session
from together_adapters.cli.output import Result
from together_adapters.cli.terminal import write


@click.command("emulator", cls=Command)
@click.option("--host", default="127.0.0.1", metavar="ADDRESS", help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65_535), default=0, metavar="N", help="Port to listen on; 0: a free port.")
@click.option("--strict", is_flag=True, help="Reject unknown parameters with status 422.")
@click.option("--api-key", metavar="KEY", help="The only accepted key. Default: any key but `invalid` and `bad...`.")
@click.option("--allow-code-execution", is_flag=True, help="Let the code interpreter run code on this machine.")
@click.option("--job-seconds", type=click.FloatRange(0), default=1.5, metavar="SECONDS", help="Duration of a fine-tuning job.")
def emulator(
    session: Session, host: str, port: int, strict: bool, api_key: str | None, allow_code_execution: bool, job_seconds: float
) -> None:
    """Run a local emulator of the Together API until Ctrl-C. The first line of stdout is its base URL.

    It needs no key and no network. It is not a language model. Commands in another shell use it through TOGETHER_BASE_URL.
    """
    from together_adapters.emulator import Behaviour, serve

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    behaviour = Behaviour(strict=strict)
    options = {"allow_code_execution": allow_code_execution, "job_seconds": job_seconds}
    try:
        with serve(port, host, api_key, behaviour, keep=1_000, **options) as server:  # type: ignore[arg-type]
            session.show(Result({"base_url": server.base_url}, lambda _: write(f"{server.base_url}\n")))
            stop.wait()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OSError(f"cannot listen on {host}:{port}: {error}") from None
