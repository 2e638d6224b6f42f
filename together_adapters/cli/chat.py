"""`chat.completions`, `chat.interactive` and `completions`: generated text, streamed to stdout."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final

import click

from together_adapters.adapters.tool_call_deltas import AssembledToolCall, ToolCallAssembler, whole_tool_calls
from together_adapters.cli.command import Command, Session
from together_adapters.cli.exit_codes import exit_code
from together_adapters.cli.options import drop_unset, generation_options, read_text, sampling_options
from together_adapters.cli.output import Result, print_json, to_json
from together_adapters.cli.terminal import dim, is_terminal, note, printable, write
from together_adapters.types.reasoning import ReasoningSplitter

_HELP: Final = """\
/help    show this help
/reset   start a new conversation
/exit    leave; so does Ctrl-D
Ctrl-C   stop a reply, or discard a line"""


@click.command("chat.completions", cls=Command)
@click.option(
    "--message",
    type=(str, str),
    multiple=True,
    required=True,
    metavar="ROLE TEXT",
    help="A message, such as: user 'Hello!'. Repeatable; - reads the text from stdin.",
)
@click.option("--audio-url", multiple=True, metavar="URL", help="Audio to attach to the last message. Repeatable.")
@click.option("--image-url", multiple=True, metavar="URL", help="Image to attach to the last message. Repeatable.")
@sampling_options
@generation_options
def chat_completions(
    session: Session, /, message: Sequence[tuple[str, str]], audio_url: Sequence[str], image_url: Sequence[str], **options: Any
) -> Result | None:
    """Generate a chat completion.

    The text is streamed to stdout. With --json the complete response is printed as one JSON document.
    """
    messages: list[dict[str, Any]] = [{"role": role, "content": read_text(text)} for role, text in message]
    _attach(messages, audio_url=audio_url, image_url=image_url)
    return _generate(session, session.client.chat.completions.create, messages=messages, **options)


@click.command("completions", cls=Command)
@click.argument("prompt")
@sampling_options
@generation_options
def completions(session: Session, /, prompt: str, **options: Any) -> Result | None:
    """Complete the text PROMPT; - reads it from stdin.

    The text is streamed to stdout. With --json the complete response is printed as one JSON document.
    """
    return _generate(session, session.client.completions.create, prompt=read_text(prompt), **options)


def _generate(session: Session, create: Callable[..., Any], *, no_stream: bool, raw: bool, **options: Any) -> Result | None:
    params = drop_unset(options)
    if session.as_json or no_stream or params.get("n", 1) > 1:
        return Result(create(**params), print_json if raw else _print_response)
    with create(stream=True, **params) as chunks:
        if raw:
            for chunk in chunks:
                write(to_json(chunk, indent=None) + "\n")
        else:
            _print_stream(chunks, _ReplyPrinter())
    return None


def _attach(messages: Sequence[dict[str, Any]], **urls: Sequence[str]) -> None:
    """Adds audio and images to the last message, which must be the user's."""
    parts = [{"type": kind, kind: {"url": url}} for kind, kind_urls in urls.items() for url in kind_urls]
    if not parts:
        return
    last = messages[-1]
    if last["role"] != "user":
        raise click.UsageError(
            f"--audio-url and --image-url need a last message with the role user; the last role is {last['role']!r}"
        )
    last["content"] = [{"type": "text", "text": last["content"]}, *parts]


@click.command("chat.interactive", cls=Command)
@click.option("--system-message", metavar="TEXT", help="System message of the conversation.")
@sampling_options
def interactive(session: Session, /, system_message: str | None, **options: Any) -> Result:
    """Chat with a model in the terminal. /help lists the commands.

    Input from a pipe is read line by line: each line is a message. With --json the conversation is printed at the end.
    """
    create = partial(session.client.chat.completions.create, stream=True, **drop_unset(options))
    system = [{"role": "system", "content": system_message}] if system_message else []
    messages: list[dict[str, Any]] = [*system]
    at_terminal = is_terminal(sys.stdin)
    if at_terminal:
        with suppress(ImportError):
            import readline  # noqa: F401 - line editing and history
        note("Type /exit to leave, /help for help.")
    error_code = 0
    for line in _lines(at_terminal):
        command = line.strip() if line.startswith("/") else ""
        if command == "/exit":
            break
        if command == "/reset":
            messages = [*system]
        elif command in ("/help", "/?"):
            note(_HELP)
        elif command:
            note(f"unknown command {command}; /help lists the commands")
        elif line.strip():
            error_code = max(error_code, _send(session, create, messages, line))
    return Result(messages, lambda _: None, 0 if at_terminal else error_code)


def _send(session: Session, create: Callable[..., Any], messages: list[dict[str, Any]], text: str) -> int:
    """Sends a message, prints the reply and adds both to the messages; returns the exit code of an error, which adds nothing."""
    message = {"role": "user", "content": text}
    printer = _ReplyPrinter(quiet=session.as_json)
    try:
        with create(messages=[*messages, message]) as chunks:
            _print_stream(chunks, printer)
    except KeyboardInterrupt:
        note("\nstopped; this message was discarded")
        return 0
    except BrokenPipeError:
        raise
    except Exception as error:
        note(session.error_line(error))
        return exit_code(error)
    messages += [message, {"role": "assistant", "content": printer.text}]
    return 0


def _lines(at_terminal: bool) -> Iterator[str]:
    """Yields the lines of the terminal or of a pipe."""
    if not at_terminal:
        for line in sys.stdin:
            yield line.rstrip("\n")
        return
    while True:
        try:
            yield input(">>> ")
        except KeyboardInterrupt:
            note("")
        except EOFError:
            note("")
            return


class _ReplyPrinter:
    """Prints a reply as it arrives. Reasoning is dim in a terminal, and left out elsewhere."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.text = ""  # the reply so far, without its reasoning
        self._quiet = quiet
        self._splitter = ReasoningSplitter()
        self._terminal = is_terminal(sys.stdout)
        self._reasoning = ""

    def add(self, text: str | None, reasoning: str | None = None) -> None:
        """Adds the text of a delta."""
        if reasoning:
            self._add_reasoning(reasoning)
        for kind, part in self._splitter.feed(text or ""):
            self._add_part(kind, part)

    def end(self) -> None:
        """Adds the text that the splitter still holds, and ends the line."""
        for kind, part in self._splitter.end():
            self._add_part(kind, part)
        if not self._quiet and not self.text.endswith("\n"):
            write("\n")

    def _add_part(self, kind: str, part: str) -> None:
        if kind == "reasoning":
            self._add_reasoning(part)
            return
        if self._reasoning and not self.text:
            write("\n" if self._reasoning.endswith("\n") else "\n\n")
        self.text += part
        if not self._quiet:
            write(printable(part) if self._terminal else part)

    def _add_reasoning(self, part: str) -> None:
        text = part if self._reasoning else part.lstrip()
        if self._terminal and text and not self._quiet:
            self._reasoning += text
            write(dim(printable(text)))


def _print_stream(chunks: Iterable[Any], printer: _ReplyPrinter) -> None:
    """Prints the chunks of a chat or of a completion."""
    calls = ToolCallAssembler()
    for chunk in chunks:
        for choice in chunk.choices:
            delta = choice.delta
            calls.add(call.model_dump() for call in (delta and delta.tool_calls) or ())
            text = (delta and delta.content) or (None if delta and delta.content == "" else choice.text)
            printer.add(text, delta and delta.thinking)
    printer.add(_format_calls(calls.calls))
    printer.end()


def _print_response(response: Any) -> None:
    """Prints a complete response; several choices get headings."""
    for number, choice in enumerate(response.choices):
        if len(response.choices) > 1:
            write(f"===== Completion {number} =====\n")
        printer = _ReplyPrinter()
        message = getattr(choice, "message", None)
        if message is None:
            printer.add(choice.text)
        else:
            printer.add(message.content, message.thinking)
            printer.add(_format_calls(whole_tool_calls(call.model_dump() for call in message.tool_calls or ())))
        printer.end()


def _format_calls(calls: Iterable[AssembledToolCall]) -> str:
    return "".join(f"[{call.name}({call.arguments})]\n" for call in calls)
