"""Nothing gets lost: every record of every source comes out, as rows or as a refusal, whatever it holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import strategies as st

from tests.conftest import example_count
from tests.finetune.formats.reading import says, user
from together_adapters.errors import DatasetError
from together_adapters.finetune import load
from together_adapters.finetune.formats.registry import DATA_FORMATS
from together_adapters.finetune.issues import RULES
from together_adapters.finetune.records import Refusal

pytestmark = pytest.mark.long

KEYS = (
    "role", "content", "messages", "tools", "tool_calls", "function", "name", "arguments", "id", "type", "text", "prompt", "completion",
    "chosen", "rejected", "conversations", "from", "value", "instruction", "output", "input", "inputs", "outputs", "run_type", "generations",
    "message", "attributes", "gen_ai.input.messages", "gen_ai.output.messages", "parts", "llm.input_messages", "llm.output_messages", "key",
    "gen_ai.prompt.0.role", "gen_ai.completion.0.content", "traceId", "store", "examples", "queries", "responses", "query", "blocks",
    "reference_answer", "reference_contexts", "images", "observations", "events", "resourceSpans", "scopeSpans", "spans", "lc", "kwargs",
)  # fmt: skip
TEXTS = st.sampled_from(
    ("", "q", "user", "assistant", "tool", "system", "llm", "GENERATION", "[{}]", '{"a": 1}', "{", "image", "text", "gpt")
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=12,
)
GOOD: dict[str, Any] = {
    "messages": {"messages": [user(), says()]},
    "openai": {"messages": [user(), says()]},
    "prompt_completion": {"prompt": "q", "completion": "a"},
    "text": {"text": "t"},
    "preference": {"prompt": "q", "chosen": "a", "rejected": "b"},
    "hh": {"chosen": "\n\nHuman: q\n\nAssistant: a", "rejected": "\n\nHuman: q\n\nAssistant: b"},
    "sharegpt": {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]},
    "alpaca": {"instruction": "q", "input": "", "output": "a"},
    "question_answers": {"question": "q", "answers": ["a"]},
    "requests": {"request": {"messages": [user()]}, "response": {"choices": [{"message": says()}]}},
    "xlam": {"query": "q", "answers": [{"name": "f", "arguments": {}}], "tools": [{"name": "f"}]},
    "glaive": {"system": "SYSTEM: s", "chat": "USER: q\n\n\nASSISTANT: a"},
    "chatml": {"text": "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\na<|im_end|>"},
    "otel": {"attributes": {"gen_ai.input.messages": [user()], "gen_ai.output.messages": [says()]}},
    "openinference": {"attributes": {"llm.input_messages": [{"message": user()}], "llm.output_messages": [{"message": says()}]}},
    "langfuse": {"type": "GENERATION", "traceId": "t", "input": [user()], "output": says()},
    "langchain": {"messages": [{"type": "human", "content": "q"}, {"type": "ai", "content": "a"}]},
    "chatgpt": {
        "mapping": {
            "1": {"message": {"author": {"role": "user"}, "content": {"parts": ["q"]}}},
            "2": {"message": {"author": {"role": "assistant"}, "content": {"parts": ["a"]}}, "parent": "1"},
        },
        "current_node": "2",
    },
    "claude": {"chat_messages": [{"sender": "human", "text": "q"}, {"sender": "assistant", "text": "a"}]},
    "oasst": {"prompt": {"role": "prompter", "text": "q", "replies": [{"role": "assistant", "text": "a"}]}},
    "chat_store": {"store": {"k": [user(), says()]}},
    "handler": {"messages": [user(), says()]},
    "labelled_rag": {"query": "q", "reference_contexts": ["c"], "reference_answer": "a"},
    "query_response": {"queries": {"1": "q"}, "responses": {"1": "a"}},
    "llm_runs": {"run_type": "llm", "inputs": {"messages": [user()]}, "outputs": {"generations": [[{"message": says()}]]}},
    "examples": {"inputs": {"q": "q"}, "outputs": {"a": "a"}},
}


@pytest.mark.parametrize("schema", DATA_FORMATS)
@example_count(25, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_every_record_comes_out(schema: str, data: st.DataObject) -> None:
    good = GOOD[schema]
    near = st.dictionaries(st.sampled_from(sorted(good)), VALUES).map(lambda columns: {**good, **columns})
    records = data.draw(st.lists(st.just(good) | near | VALUES, min_size=1, max_size=6))
    try:
        dataset = load(iter(records), schema)
    except DatasetError:
        return
    results = list(dataset.records())
    has_unpack = DATA_FORMATS[schema].unpack is not None
    numbers = [record.number for record in results]
    assert set(numbers) <= set(range(1, len(records) + 1))
    assert has_unpack or set(numbers) == set(range(1, len(records) + 1))
    assert all(record.code in RULES for record in results if isinstance(record, Refusal))
    assert has_unpack or schema in ("llm_runs",) or len(results) == len(records)
    if schema != "query_response" and records.count(good):
        assert sum(not isinstance(record, Refusal) for record in results) >= min(1, records.count(good))


@given(st.lists(VALUES, min_size=1, max_size=4))
@example([{"messages": None, "attributes": ""}])  # attributes that are no JSON
@example_count(150, suppress_health_check=[HealthCheck.too_slow])
def test_detection_never_fails_otherwise_than_it_says(records: list[Any]) -> None:
    try:
        list(load(records).records())
    except DatasetError:
        pass


@pytest.mark.parametrize("schema", DATA_FORMATS)
def test_a_good_record_of_every_format_is_recognised(schema: str) -> None:
    needs_schema = schema in ("hh", "chatml", "handler", "openai")
    assert len(list(load([GOOD[schema]], schema))) == 1
    if not needs_schema:
        assert list(load([GOOD[schema]])) == list(load([GOOD[schema]], schema))


@pytest.mark.parametrize("schema", DATA_FORMATS)
def test_a_hundred_thousand_brackets_break_nothing(schema: str, tmp_path: Path) -> None:
    deep: Any = "x"
    for _ in range(5000):
        deep = [deep]
    key = next(iter(GOOD[schema]))
    results = list(load(iter([GOOD[schema], {**GOOD[schema], key: deep}]), schema).records())
    assert {record.number for record in results} == {1, 2}
    path = tmp_path / "data.jsonl"
    path.write_text(json.dumps(GOOD[schema]) + "\n" + "[" * 100_000 + "\n")
    assert [isinstance(record, Refusal) for record in load(path, schema).records()][-1]


def test_errors_of_the_user_s_functions_are_theirs() -> None:
    def failing(record: Any) -> str:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine") as error:
        list(load([GOOD["alpaca"]], template=failing))
    assert error.value.__notes__ == ["at data record 1"]
    with pytest.raises(KeyError, match="mine"):
        list(load([GOOD["langfuse"]], select=failing))
