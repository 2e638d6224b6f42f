"""Examples and runs of LangSmith, as its client gives them or as they were exported. No client is needed, and none is called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from langchain_together_adapters.finetuning.exported import is_exported, message_of
from langchain_together_adapters.finetuning.records import Talk, is_message, talk_of
from together_adapters.finetune.formats.trace_selection import UNFINISHED
from together_adapters.finetune.recording import thread_of
from together_adapters.finetune.records import Unconvertible

_ANSWERS: Final = ("message", "messages", "generations", "choices", "output")


def is_run(value: Any) -> bool:
    """Whether something is a run."""
    return "run_type" in value if isinstance(value, Mapping) else hasattr(value, "run_type") and hasattr(value, "inputs")


def is_example(value: Any) -> bool:
    """Whether something is an example of a dataset."""
    if isinstance(value, Mapping):
        return isinstance(value.get("inputs"), Mapping) and "outputs" in value
    return hasattr(value, "inputs") and hasattr(value, "outputs")


def talks_of(record: Any, schema: str, input_key: str | None, output_key: str | None) -> list[Talk] | None:
    """Return the conversations in a run or an example, or None where a record is neither.

    Raises:
        Unconvertible: The run failed or has not ended, the example has no output, or it is not clear which key is which.
    """
    if schema == "messages":
        return None
    if schema == "llm_runs" or (schema == "auto" and is_run(record)):
        return list(_of_run(_Record(record)))
    if schema == "examples" or is_example(record):
        return [_of_example(_Record(record), input_key, output_key)]
    return None


class _Record:
    """The fields of an object or of a dict."""

    def __init__(self, held: Any) -> None:
        self._held = held

    def __getitem__(self, name: str) -> Any:
        return self._held.get(name) if isinstance(self._held, Mapping) else getattr(self._held, name, None)

    def mapping(self, name: str) -> Mapping[str, Any]:
        """A field that should be a dict, or an empty one."""
        value = self[name]
        return value if isinstance(value, Mapping) else {}


def _of_run(run: _Record) -> Iterator[Talk]:
    if run["error"]:
        raise Unconvertible("run_failed", "the run failed", "error", str(run["error"])[:80], skipped=True)
    if not run["outputs"]:
        raise Unconvertible("run_pending", "the run has no outputs", "outputs", skipped=True)
    inputs, outputs, extra = run.mapping("inputs"), run.mapping("outputs"), run.mapping("extra")
    asked = extra.get("invocation_params") or {}
    tools = asked.get("tools") or asked.get("functions") or inputs.get("tools") or ()
    group = thread_of(extra.get("metadata")) or next((str(run[key]) for key in ("trace_id", "id") if run[key]), None)
    if run["run_type"] not in (None, "llm"):
        if not _messages(outputs.get("messages")):
            raise Unconvertible("run_not_of_model", f"a run of type {run['run_type']} is no call of a model", skipped=True)
        yield Talk(_messages(outputs["messages"]), tools, group)
        return
    prompts, answers = _prompts(inputs), _batches(outputs)
    if not answers:
        raise Unconvertible("run_pending", "the run has no answer", "outputs", skipped=True)
    if len(prompts) != len(answers):
        text = f"{len(prompts)} prompts and {len(answers)} answers do not belong together"
        raise Unconvertible("record_unknown", text, "outputs")
    for prompt, candidates in zip(prompts, answers, strict=True):
        for answer in candidates:
            if isinstance(prompt, str) and isinstance(answer, str):
                yield Talk(prompt, group=group, answer=answer)
            else:
                yield Talk([*_texts(prompt), answer if not isinstance(answer, str) else ("ai", answer)], tools, group)


def _texts(prompt: Any) -> Sequence[Any]:
    return [("user", prompt)] if isinstance(prompt, str) else prompt


def _prompts(inputs: Mapping[str, Any]) -> list[Any]:
    """What was asked: batches of messages, or texts."""
    if "messages" not in inputs:
        prompts = inputs.get("prompts") or ([inputs["prompt"]] if "prompt" in inputs else [])
        return list(prompts)
    messages = inputs["messages"]
    if messages and isinstance(messages[0], list):
        return [_messages(one) for one in messages]
    return [_messages(messages)]


def _batches(outputs: Mapping[str, Any]) -> list[list[Any]]:
    """What was answered: for each prompt its candidates. Those cut off stop the run from becoming a row."""
    found = outputs.get("generations") or outputs.get("choices")
    if not found:
        held = outputs.get("message") or outputs.get("output") or (outputs if is_message(outputs) else None)
        return [[held]] if held else []
    batches = found if isinstance(found[0], list) else [found]
    return [[_answer(one) for one in batch] for batch in batches]


def _answer(generation: Mapping[str, Any]) -> Any:
    message = generation.get("message")
    described = getattr(message, "response_metadata", None) or {}
    if isinstance(message, Mapping):
        message = message_of(message) if is_exported(message) else message
        described = getattr(message, "response_metadata", None) or {}
    info = generation.get("generation_info") or {}
    reason = generation.get("finish_reason") or info.get("finish_reason") or described.get("finish_reason")
    if reason in UNFINISHED or described.get("stop_reason") in UNFINISHED:
        raise Unconvertible("answer_unfinished", f"the answer was cut off: {reason or 'max_tokens'}", "outputs", skipped=True)
    return message or generation.get("text") or ""


def _messages(given: Any) -> list[Any]:
    return list(given) if isinstance(given, list | tuple) else []


def _of_example(example: _Record, input_key: str | None, output_key: str | None) -> Talk:
    if example["attachments"]:
        raise Unconvertible("attachments_unsupported", "an example with attachments cannot be trained on", "attachments")
    if not example["outputs"]:
        raise Unconvertible("example_without_output", "the example has no output", "outputs")
    inputs, outputs = example.mapping("inputs"), example.mapping("outputs")
    group = thread_of(example.mapping("metadata"))
    tools = inputs.get("tools") or outputs.get("tools") or example.mapping("metadata").get("tools") or ()
    if "messages" in inputs and input_key is None and output_key is None:
        return Talk(_continued(_messages(inputs["messages"]), outputs), tools, group)
    asked, answered = _key(inputs, input_key, "input_key"), _key(outputs, output_key, "output_key")
    talk = talk_of((inputs[asked], outputs[answered]), None, None)
    return talk._replace(tools=tools, group=group)


def _continued(asked: list[Any], outputs: Mapping[str, Any]) -> list[Any]:
    """A conversation with its answer, which may repeat it."""
    found = next((key for key in _ANSWERS if outputs.get(key)), None)
    if found is None and not is_message(outputs):
        shown = ", ".join(repr(str(key)[:40]) for key in list(outputs)[:10])
        raise Unconvertible("columns_undeclared", f"which of {shown} is the answer? output_key= says so", "outputs")
    held = outputs if found is None else outputs[found]
    if found in ("generations", "choices"):
        held = _batches(outputs)[0][0]
    if isinstance(held, list):
        return held if held[: len(asked)] == asked else [*asked, *held]
    return [*asked, ("ai", held) if isinstance(held, str) else held]


def _key(held: Mapping[str, Any], declared: str | None, name: str) -> str:
    """The key that was declared, or the only one."""
    if declared in held and declared is not None:
        return declared
    if len(held) == 1 and declared is None:
        return next(iter(held))
    shown = ", ".join(repr(str(key)[:40]) for key in list(held)[:10])
    raise Unconvertible("columns_undeclared", f"which of {shown} is meant? {name}= says so", name.removesuffix("_key") + "s")
