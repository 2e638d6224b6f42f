"""The root command: global options, the groups by name, and the handling of every error."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from io import TextIOWrapper
from typing import Any, Final

import click

from together_adapters._version import __version__
from together_adapters.cli.command import Command, LazyGroup, Session
from together_adapters.cli.exit_codes import SIGINT_CODE, SIGPIPE_CODE, USAGE, error_line, exit_code
from together_adapters.cli.terminal import note, write

NAME: Final = "together-adapters"
_COMPLETE_VARIABLE: Final = "_TOGETHER_ADAPTERS_COMPLETE"

COMMANDS: Final = {
    "chat.completions": ("chat.generation:chat_completions", "Generate a chat completion."),
    "chat.interactive": ("chat.interactive:interactive", "Chat with a model in the terminal."),
    "completions": ("chat.generation:completions", "Complete a text."),
    "embeddings": ("retrieval:embeddings", "Create embeddings of texts."),
    "rerank": ("retrieval:rerank", "Rank documents by their relevance to a query."),
    "images": ("images:images", "Generate images."),
    "audio": ("media:audio", "Speech from text, and text from speech."),
    "videos": ("media:videos", "Generate videos."),
    "code": ("media:code", "Run Python code on the service's machines."),
    "files": ("files:files", "Check, upload, list and download data files."),
    "fine-tuning": ("fine_tuning:fine_tuning", "Create and manage fine-tuning jobs."),
    "ft": ("ft:ft", "Check, prepare and split training data, and fine-tune a model on it."),
    "batches": ("batches:batches", "Create and manage batch jobs."),
    "bulk": ("bulk:bulk", "Send any number of requests or texts, and continue when interrupted."),
    "evaluation": ("evaluation:evaluation", "Evaluate model outputs with a judge model."),
    "models": ("models:models", "List and upload models."),
    "endpoints": ("endpoints:endpoints", "Create and manage dedicated endpoints."),
    "projects": ("account:projects", "List projects; create and manage their endpoints."),
    "deployments": ("deployments:deployments", "Create and manage deployments under endpoints of projects."),
    "adapters": ("deployments:adapters", "Create and manage LoRA adapters on deployments."),
    "usage": ("usage:usage", "Show what was used, by a ledger or by the service."),
    "whoami": ("account:whoami", "Show whom the API key belongs to."),
    "request": ("account:request", "Send a request to any path of the service."),
    "doctor": ("doctor.command:doctor", "Examine the service as it answers today, on one page."),
    "demo": ("demo.command:demo", "Ask Python's language reference, and see what the library does."),
    "emulator": ("emulator:emulator", "Run a local emulator of the Together API."),
    "completion": ("app:completion", "Print a shell completion script."),
}


class _Root(LazyGroup):
    """The root group, which turns an exception into a line on stderr and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except (click.ClickException, click.exceptions.Exit, click.Abort, KeyboardInterrupt):
            raise
        except BrokenPipeError:
            with suppress(OSError, ValueError):  # discards what Python still has to write
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(SIGPIPE_CODE)
        except Exception as error:
            session = ctx.ensure_object(Session)
            if session.debug:
                _print_traceback(error, session.secrets)
            note(session.error_line(error))
            _print_notes(error, session)
            ctx.exit(exit_code(error))


@click.command(
    NAME,
    cls=_Root,
    lazy=COMMANDS,
    context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 100, "show_default": True},
)
@click.option("--api-key", metavar="KEY", help="API key. Prefer TOGETHER_API_KEY, which process lists do not show.")
@click.option("--base-url", metavar="URL", help="URL of the API. Default: TOGETHER_BASE_URL, or the Together API.")
@click.option("--timeout", type=click.FloatRange(0, min_open=True), metavar="SECONDS", help="Timeout per attempt. Default: 600.")
@click.option("--max-retries", type=click.IntRange(0), metavar="N", help="Retries after the first attempt. Default: 2.")
@click.option("--debug", is_flag=True, help="Log requests to stderr, without keys and prompts, and show tracebacks.")
@click.version_option(__version__, "--version", message="%(prog)s %(version)s", help="Show the version and exit.")
@click.pass_context
def cli(ctx: click.Context, /, debug: bool, **settings: Any) -> None:
    """Together AI from the command line: chat, embeddings, images, files, fine-tuning, batches, evaluations, endpoints.

    Every command takes --json, which prints one JSON document. Exit codes: 0 done, 1 invalid data, 2 wrong usage, 3 service or
    network error.
    """
    session = ctx.ensure_object(Session)
    session.settings = {name: value for name, value in settings.items() if value is not None}
    session.debug = debug
    ctx.call_on_close(session.close)
    if debug:
        os.environ["TOGETHER_LOG"] = "debug"


class _Warnings(logging.Handler):
    """Writes warnings of the library's log to stderr, with the flags of the command."""

    def __init__(self, session: Session) -> None:
        super().__init__(logging.WARNING)
        self._session = session

    def emit(self, record: logging.LogRecord) -> None:
        if not os.environ.get("TOGETHER_LOG"):  # which shows the log as it is
            note(f"warning: {self._session.with_flags(record.getMessage())}")


def run(arguments: Sequence[str] | None = None) -> int:
    """Runs a command with `arguments`, or with those of the process; returns its exit code."""
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal's encoding cannot show must not end a command.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    secrets = _secrets_in(sys.argv[1:] if arguments is None else arguments)
    session = Session(secrets)
    warnings.showwarning = lambda message, *_: note(f"warning: {session.with_flags(str(message))}")
    handler = _Warnings(session)
    logging.getLogger("together_adapters").addHandler(handler)
    try:
        result = cli.main(args=arguments, prog_name=NAME, standalone_mode=False, obj=session)
        return result if isinstance(result, int) else 0
    except click.ClickException as error:
        note(_usage(error, secrets))
        return USAGE
    except click.Abort as abort:
        _print_notes(abort.__cause__ or abort, session)
        return SIGINT_CODE
    finally:
        logging.getLogger("together_adapters").removeHandler(handler)


def _print_notes(error: BaseException, session: Session) -> None:
    """Writes the notes of an exception that name a command, such as what deletes a file that stays in the account."""
    for text in map(session.with_flags, getattr(error, "__notes__", ())):
        if f"`{NAME} " in text:
            note(text)


def _usage(error: click.ClickException, secrets: Sequence[str]) -> str:
    context = getattr(error, "ctx", None)
    if context is not None and isinstance(context.command, click.Group) and len(str(error).splitlines()) > 1:
        return error.format_message()  # a group without a command shows its help
    return error_line(error, secrets) + (f" (see: {context.command_path} --help)" if context is not None else "")


def _secrets_in(arguments: Sequence[str]) -> list[str]:
    """Returns the keys and tokens of a command line, which an error message could repeat."""
    secrets = [os.environ.get("TOGETHER_API_KEY", "")]
    for index, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name.startswith("--") and name.endswith(("-key", "-token")):
            secrets.append(value if equals else "".join(arguments[index + 1 : index + 2]))
    return [secret for secret in secrets if secret]


def _print_traceback(error: BaseException, secrets: Sequence[str]) -> None:
    import traceback

    from together_adapters.transport.redaction import Redactor

    note(Redactor(secrets, "***")("".join(traceback.format_exception(error))).rstrip())


@click.command("completion", cls=Command)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(session: Session, shell: str) -> Any:
    """Print a shell completion script.

    \b
    bash: eval "$(together-adapters completion bash)"       in ~/.bashrc
    zsh:  eval "$(together-adapters completion zsh)"        in ~/.zshrc
    fish: together-adapters completion fish | source        in ~/.config/fish/config.fish
    """  # noqa: D301 - a backspace tells click to keep the lines
    from click.shell_completion import get_completion_class

    from together_adapters.cli.output import Result

    shell_class = get_completion_class(shell)
    assert shell_class is not None
    script = shell_class(cli, {}, click.get_current_context().find_root().info_name or "", _COMPLETE_VARIABLE).source()
    return Result({"shell": shell, "script": script}, lambda _: write(f"{script}\n"))
