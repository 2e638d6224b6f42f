"""`chat.completions` and `completions`: generated text, streamed to stdout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import click

from together_adapters.cli.chat.reply import print_response, print_stream
from together_adapters.cli.command import Command, Session
from together_adapters.cli.options import drop_unset, generation_options, read_text, sampling_options
from together_adapters.cli.output import Result, print_json, to_json
from together_adapters.cli.terminal import write

_ROLES: Final = frozenset({"system", "user", "assistant", "tool"})


class _ChatCommand(Command):
    """A command whose messages have the role `user` unless they say another."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        flags = {flag for parameter in self.params for flag in parameter.opts}
        for index in reversed([index for index, argument in enumerate(args) if argument == "--message"]):
            role, text = (*args[index + 1 : index + 3], None, None)[:2]
            if role is not None and (text is None or text.partition("=")[0] in flags):
                if role in _ROLES:
                    raise click.UsageError(f"--message takes ROLE and TEXT, and after {role} there is no text", ctx)
                args = [*args[: index + 1], "user", *args[index + 1 :]]
        return super().parse_args(ctx, args)


@click.command("chat.completions", cls=_ChatCommand)
@click.option(
    "--message",
    type=(str, str),
    multiple=True,
    required=True,
    metavar="[ROLE] TEXT",
    help="A message, such as: user 'Hello!'. Without a role, the user's. Repeatable; - reads the text from stdin.",
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
        return Result(create(**params), print_json if raw else print_response)
    with create(stream=True, **params) as chunks:
        if raw:
            for chunk in chunks:
                write(to_json(chunk, indent=None) + "\n")
        else:
            print_stream(chunks)
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
