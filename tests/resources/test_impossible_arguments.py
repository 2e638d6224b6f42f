"""Arguments that no server takes are a TypeError that says what to pass; nothing is sent."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from together_adapters import BadRequestError
from together_adapters.emulator import Emulator

MODEL = "openai/gpt-oss-120b"
EMBEDDER = "BAAI/bge-base-en-v1.5"


@pytest.mark.parametrize(
    ("method", "arguments", "message"),
    [
        ("chat.completions", {"messages": "hi"}, "messages must be a list of dicts, not str: messages=.{.role"),
        ("chat.completions", {"messages": None}, "messages must be a list of dicts, not NoneType"),
        ("chat.completions", {"messages": {"role": "user", "content": "hi"}}, "messages must be a list of dicts, not dict"),
        ("chat.completions", {"messages": ["hi"]}, "messages must be a list of dicts, not a list with str"),
        ("chat.completions", {"messages": ("hi",)}, "not a list with str"),
        ("chat.completions", {"prompt": "hi"}, "missing required keyword argument: 'messages'; unknown: 'prompt'"),
        ("chat.completions", {"messages": [], "tools": "weather"}, "tools must be a list, not str"),
        ("chat.completions", {"messages": [], "tools": {"type": "function"}}, "tools must be a list, not dict"),
        ("chat.completions", {"messages": [], "tools": print}, "tools must be a list, not builtin_function_or_method"),
        ("embeddings", {"input": {"text": "hi"}}, "input must be a string or a list of strings, not dict"),
        ("completions", {"prompt": None}, "prompt must be a string, not NoneType"),
        ("completions", {"prompt": {"text": "hi"}}, "prompt must be a string, not dict"),
        ("embeddings", {"input": None}, "input must be a string or a list of strings, not NoneType"),
        ("rerank", {"query": None, "documents": ["a"]}, "query must be a string, not NoneType"),
        ("rerank", {"query": "q", "documents": None}, "documents must be a list, not NoneType"),
        ("rerank", {"query": "q", "documents": "a"}, "documents must be a list, not one str"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_it_is_refused(
    flavour: Any, emulator: Emulator, method: str, arguments: dict[str, Any], message: str, stream: bool
) -> None:
    resource: Any = flavour.client()
    for name in method.split("."):
        resource = getattr(resource, name)
    options = {"stream": True} if stream and "completions" in method else {}
    with pytest.raises(TypeError, match=message):
        flavour.run(resource.create(model=EMBEDDER if method == "embeddings" else MODEL, **arguments, **options))
    assert emulator.requests == []


def test_what_some_server_takes_is_sent(flavour: Any, emulator: Emulator) -> None:
    client = flavour.client(max_retries=0)
    flavour.run(client.chat.completions.create(model=MODEL, messages=({"role": "user", "content": "hi"},)))
    flavour.run(client.chat.completions.create(model=MODEL, messages=iter([{"role": "user", "content": "hi"}])))
    for prompt in (["hi"], [1, 2]):
        with suppress(BadRequestError):
            flavour.run(client.completions.create(model=MODEL, prompt=prompt))
    assert len(emulator.requests) == 4


def test_a_path_is_no_id(flavour: Any, emulator: Emulator) -> None:
    client = flavour.client()
    judge = {"judge_model": MODEL, "judge_model_source": "serverless", "judge_system_template": "Which?"}
    calls: list[Any] = [
        lambda: client.batches.create("rows.jsonl"),
        lambda: client.fine_tuning.create(training_file="rows.jsonl", model=MODEL),
        lambda: client.fine_tuning.estimate_price(training_file="rows.jsonl", model=MODEL),
        lambda: client.evaluation.create("compare", input_data_file_path="rows.jsonl", model_a="a", model_b="b", **judge),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"='rows.jsonl' is the path of a file: client.files.upload\('rows.jsonl', purpose="):
            flavour.run(call())
    assert emulator.requests == []
