"""`chat.completions`: one answer to a conversation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from together_adapters.cli.arguments import answers, given, sampling, text_of
from together_adapters.cli.chat_output import Reply, raw_stream, stream_reply, whole_reply
from together_adapters.cli.command import Command, Session


@click.command("chat.completions", cls=Command)
@click.option(
    "--message",
    type=(str, str),
    multiple=True,
    required=True,
    metavar="ROLE TEXT",
    help="A message, such as: user 'Hello!'. Repeatable; - takes the text from stdin.",
)
@click.option("--audio-url", multiple=True, metavar="URL", help="A sound that goes with the last message. Repeatable.")
@click.option("--image-url", multiple=True, metavar="URL", help="An image that goes with the last message. Repeatable.")
@sampling
@answers
@click.pass_obj
def completions(
    session: Session,
    /,
    message: Sequence[tuple[str, str]],
    audio_url: Sequence[str],
    image_url: Sequence[str],
    no_stream: bool,
    raw: bool,
    **options: Any,
) -> None:
    """Answer a conversation.

    The answer streams to stdout. With --json it comes whole, as the service sends it.
    """
    messages: list[dict[str, Any]] = [{"role": role, "content": text_of(text)} for role, text in message]
    attach(messages, audio_url=audio_url, image_url=image_url)
    create = session.client.chat.completions.create
    params = given(options)
    if session.as_json or no_stream or params.get("n", 1) > 1:
        whole_reply(create(messages=messages, **params), as_json=session.as_json or raw)
        return
    with create(messages=messages, stream=True, **params) as chunks:
        if raw:
            raw_stream(chunks)
        else:
            stream_reply(chunks, Reply())


def attach(messages: Sequence[dict[str, Any]], **urls: Sequence[str]) -> None:
    """Put sounds and images into the last message.

    Raises:
        UsageError: It is not the user's.
    """
    parts = [{"type": kind, kind: {"url": url}} for kind, given_urls in urls.items() for url in given_urls]
    if not parts:
        return
    last = messages[-1]
    if last["role"] != "user":
        raise click.UsageError(f"sounds and images go with a message of the user, and the last one has the role {last['role']!r}")
    last["content"] = [{"type": "text", "text": last["content"]}, *parts]
