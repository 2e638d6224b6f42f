"""The root of all commands: global options, the groups by name, and how everything ends."""

from __future__ import annotations

import errno
import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from io import TextIOWrapper
from typing import Any, Final

import click

from together_adapters._version import __version__
from together_adapters.cli import INTERRUPTED
from together_adapters.cli.command import LazyGroup, Session
from together_adapters.cli.exit_codes import USAGE, exit_code, one_line

NAME: Final = "together-adapters"
_PIPE_CLOSED: Final = 141
"""What a shell reports of a program that ended because nobody read on."""

COMMANDS: Final = {
    "chat.completions": ("chat:completions", "Answer a conversation."),
    "chat.interactive": ("interactive:interactive", "Talk to a model, turn by turn."),
    "completions": ("completions:completions", "Go on from a text."),
    "embeddings": ("embeddings:embeddings", "Embed texts."),
    "rerank": ("rerank:rerank", "Order documents by their relevance to a query."),
    "images": ("images:images", "Draw images."),
    "files": ("files:files", "Send data files, look at them, bring them back."),
    "fine-tuning": ("fine_tuning:fine_tuning", "Train models on files of yours."),
    "ft": ("ft:ft", "Check, prepare and split training data, and train on it."),
    "batches": ("batches:batches", "Have many requests answered within a day."),
    "evaluation": ("evaluation:evaluation", "Have a judge model look at answers."),
    "models": ("models:models", "The catalogue of models."),
    "endpoints": ("endpoints:endpoints", "Models on hardware of your own."),
    "emulator": ("emulator:emulator", "Run a local server that speaks the same API."),
    "completion": ("completion:completion", "Print a script that completes commands in your shell."),
}


class _Root(LazyGroup):
    """The group of everything, which turns what goes wrong within into a line and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except (click.ClickException, click.exceptions.Exit, click.Abort, KeyboardInterrupt):
            raise
        except BrokenPipeError:
            _leave_stdout()
            ctx.exit(_PIPE_CLOSED)
        except Exception as problem:
            session = ctx.ensure_object(Session)
            if session.debug:
                _show_traceback(problem, session.secrets)
            _complain(one_line(problem, session.secrets))
            ctx.exit(exit_code(problem))


@click.command(
    NAME,
    cls=_Root,
    package="together_adapters.cli",
    lazy=COMMANDS,
    context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 100},
)
@click.option("--api-key", metavar="KEY", help="The key; better kept in TOGETHER_API_KEY, where no list of processes shows it.")
@click.option("--base-url", metavar="URL", help="Where to send; else TOGETHER_BASE_URL, else the service itself.")
@click.option("--timeout", type=click.FloatRange(0, min_open=True), metavar="SECONDS", help="For each attempt; 600 by default.")
@click.option("--max-retries", type=click.IntRange(0), metavar="N", help="Attempts after the first; 2 by default.")
@click.option("--debug", is_flag=True, help="Log requests to stderr, without keys and prompts; show where errors come from.")
@click.version_option(__version__, "--version", message="%(prog)s %(version)s", help="Show the version.")
@click.pass_context
def cli(
    ctx: click.Context,
    api_key: str | None,
    base_url: str | None,
    timeout: float | None,
    max_retries: int | None,
    debug: bool,
) -> None:
    """Together AI from a shell: chats, embeddings, images, files, fine-tuning, batches, evaluations, endpoints.

    Every command takes --json, which prints one JSON document. Exit codes: 0 done, 1 the data is not right, 2 usage, 3 the
    service or the network.
    """
    given = {"api_key": api_key, "base_url": base_url, "timeout": timeout, "max_retries": max_retries}
    session = ctx.obj = Session({name: value for name, value in given.items() if value is not None}, debug)
    ctx.call_on_close(session.close)
    if debug:
        os.environ["TOGETHER_LOG"] = "debug"


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit code.

    Args:
        arguments: Those of the process when None.
    """
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal's encoding cannot show must not end a command.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    warnings.showwarning = lambda message, *_: _complain(f"warning: {message}")
    secrets = _secrets_among(sys.argv[1:] if arguments is None else arguments)
    try:
        result = cli.main(args=arguments, prog_name=NAME, standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.ClickException as problem:
        _complain(_usage(problem, secrets))
        return USAGE
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except OSError as problem:
        if problem.errno != errno.EPIPE:
            raise
        _leave_stdout()
        return _PIPE_CLOSED


def _usage(problem: click.ClickException, secrets: Sequence[str]) -> str:
    context = getattr(problem, "ctx", None)
    if context is not None and isinstance(context.command, click.Group) and len(str(problem).splitlines()) > 1:
        return problem.format_message()  # a group without a command shows its help
    return one_line(problem, secrets) + (f" (see: {context.command_path} --help)" if context is not None else "")


def _secrets_among(arguments: Sequence[str]) -> list[str]:
    """Return the keys and tokens of a command line, which a complaint about it could repeat."""
    found = [os.environ.get("TOGETHER_API_KEY", "")]
    for place, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name.startswith("--") and name.endswith(("-key", "-token")):
            found.append(value if equals else "".join(arguments[place + 1 : place + 2]))
    return [secret for secret in found if secret]


def _complain(line: str) -> None:
    with suppress(OSError):
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


def _show_traceback(problem: BaseException, secrets: Sequence[str]) -> None:
    import traceback

    text = "".join(traceback.format_exception(problem))
    for secret in secrets:
        text = text.replace(secret, "***")
    _complain(text.rstrip())


def _leave_stdout() -> None:
    """Nobody reads on: let what Python still wants to write go nowhere."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
