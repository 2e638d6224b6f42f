"""`completions`: go on from a text."""

from __future__ import annotations

from typing import Any

import click

from together_adapters.cli.arguments import answers, given, sampling, text_of
from together_adapters.cli.chat_output import Reply, raw_stream, stream_reply, whole_reply
from together_adapters.cli.command import Command, Session


@click.command("completions", cls=Command)
@click.argument("prompt")
@sampling
@answers
@click.pass_obj
def completions(session: Session, /, prompt: str, no_stream: bool, raw: bool, **options: Any) -> None:
    """Go on from PROMPT; - takes it from stdin.

    The text streams to stdout. With --json it comes whole, as the service sends it.
    """
    create = session.client.completions.create
    params = given(options)
    prompt = text_of(prompt)
    if session.as_json or no_stream or params.get("n", 1) > 1:
        whole_reply(create(prompt=prompt, **params), as_json=session.as_json or raw)
        return
    with create(prompt=prompt, stream=True, **params) as chunks:
        if raw:
            raw_stream(chunks)
        else:
            stream_reply(chunks, Reply())
