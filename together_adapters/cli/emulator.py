"""`emulator`: the emulator as a server."""

from __future__ import annotations

import logging
import signal
import threading

import click

from together_adapters.cli.command import Command, Session
from together_adapters.cli.output import Result
from together_adapters.cli.terminal import note, write


@click.command("emulator", cls=Command)
@click.option("--host", default="127.0.0.1", metavar="ADDRESS", help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65_535), default=0, metavar="N", help="Port to listen on; 0: a free port.")
@click.option("--strict", is_flag=True, help="Answer as the service of today, which serves and accepts less.")
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="NAME[=TYPE]",
    help="Serve only this model, such as BAAI/bge-m3=embedding; can be repeated.",
)
@click.option("--any-model", is_flag=True, help="Answer by any name of a model; else an unknown one gets a 404.")
@click.option("--api-key", metavar="KEY", help="The only accepted key. Default: any key but `invalid` and `bad...`.")
@click.option("--allow-code-execution", is_flag=True, help="Let the code interpreter run code on this machine.")
@click.option(
    "--allowed-host", "allowed_hosts", multiple=True, metavar="HOST", help="Answer requests to this host too; can be repeated."
)
@click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="NAME=NUMBER",
    help="Refuse more than requests-per-minute=60, tokens-per-minute=10000 or concurrent=4; can be repeated. Several are "
    "separated by semicolons; those with at=30 replace them after that many seconds.",
)
@click.option(
    "--engine",
    "engines",
    multiple=True,
    metavar="[KINDS=]URL",
    help="Let an OpenAI-compatible server answer chat, completions and embeddings, or only some kinds: "
    "embeddings=http://127.0.0.1:8001/v1. Repeatable.",
)
@click.option(
    "--engine-model",
    "engine_models",
    multiple=True,
    metavar="[NAME=]NAME",
    help="The engine's name for every model, or for the first name. Repeatable.",
)
@click.option(
    "--engine-key",
    envvar="TOGETHER_EMULATOR_ENGINE_KEY",
    metavar="KEY",
    help="The key that the engine wants; TOGETHER_EMULATOR_ENGINE_KEY is not shown in process lists.",
)
@click.option(
    "--as-recorded",
    type=click.Path(exists=True, file_okay=False),
    metavar="DIR",
    help="Answer as the service did when `doctor --record DIR` was run.",
)
@click.option("--job-seconds", type=click.FloatRange(0), default=1.5, metavar="SECONDS", help="Duration of a fine-tuning job.")
def emulator(
    session: Session,
    host: str,
    port: int,
    strict: bool,
    models: tuple[str, ...],
    any_model: bool,
    api_key: str | None,
    allow_code_execution: bool,
    allowed_hosts: tuple[str, ...],
    limits: tuple[str, ...],
    engines: tuple[str, ...],
    engine_models: tuple[str, ...],
    engine_key: str | None,
    as_recorded: str | None,
    job_seconds: float,
) -> None:
    """Run a local emulator of the Together API until Ctrl-C. The first line of stdout is its base URL.

    It accepts any key and needs no network. It is not a language model; --engine puts one behind it. Commands in another shell use it through
    TOGETHER_BASE_URL and TOGETHER_API_KEY: the next two lines set them, ready to paste.

    Unknown models, models of the wrong kind, and images for models that read text alone get an error, as the service answers
    them. Else it grants by default more than the service of today, which serves no embedding or rerank model and no removed one,
    and refuses tools together with a response format; a line on stderr says so.
    """
    from together_adapters.emulator import Behaviour, Limits, serve
    from together_adapters.emulator.remote.engines import command_line_engines

    logging.getLogger("asyncio").setLevel(logging.ERROR)  # it warns of each client that leaves a stream early

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    behaviour = Behaviour(strict=True) if strict else None
    options = {
        "limits": Limits.parse(limits),
        "models": models or None,
        "any_model": any_model,
        "allow_code_execution": allow_code_execution,
        "job_seconds": job_seconds,
        "allowed_hosts": allowed_hosts,
        "as_recorded": as_recorded,
        "engine": command_line_engines(engines, engine_key, engine_models),
    }
    try:
        with serve(port, host, api_key, behaviour, keep=1_000, **options) as server:  # type: ignore[arg-type]
            result = {"base_url": server.base_url, "api_key": server.api_key}
            session.show(Result(result, lambda _: write(f"{server.base_url}\n{server.exports}")))
            note(server.offer)
            stop.wait()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OSError(f"cannot listen on {host}:{port}: {error}") from None
