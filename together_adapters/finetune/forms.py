"""The forms that training data has, each with an example: what `docs/which-data.md` shows, and its tests load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple


class Form(NamedTuple):
    """One form: rows of an example in their file, and the arguments of `load` that they need."""

    schema: str
    about: str
    rows: Sequence[Mapping[str, Any]]
    arguments: Mapping[str, Any] = {}


_USER: Final = {"role": "user", "content": "Red or blue?"}
_ANSWER: Final = {"role": "assistant", "content": "Blue."}
_OTHER: Final = {"role": "assistant", "content": "Red."}
_QUESTION: Final = "Red or blue?"

FORMS: Final = (
    Form("messages", "Conversations of OpenAI's format, also with `tools`", [{"messages": [_USER, _ANSWER]}]),
    Form("prompt_completion", "Questions with answers, under any usual names", [{"question": _QUESTION, "answer": "Blue."}]),
    Form(
        "prompt_completion",
        "Questions with answers, under other names",
        [{"riddle": _QUESTION, "solved": "Blue."}],
        {"columns": {"prompt": "riddle", "completion": "solved"}},
    ),
    Form("alpaca", "Instructions, with or without an input", [{"instruction": "Name a colour.", "input": "", "output": "Blue."}]),
    Form("sharegpt", "ShareGPT", [{"conversations": [{"from": "human", "value": _QUESTION}, {"from": "gpt", "value": "Blue."}]}]),
    Form("question_answers", "Questions with lists of answers, as SQuAD", [{"question": _QUESTION, "answers": ["Blue."]}]),
    Form("text", "Texts to continue", [{"text": "The sea is blue."}]),
    Form(
        "chatml",
        "Conversations as text, with the marks of a chat template",
        [{"text": f"<|im_start|>user\n{_QUESTION}<|im_end|>\n<|im_start|>assistant\nBlue.<|im_end|>"}],
        {"schema": "chatml"},
    ),
    Form(
        "preference", "Preferences: a better and a worse answer", [{"prompt": _QUESTION, "chosen": "Blue.", "rejected": "Red."}]
    ),
    Form(
        "openai",
        "Preferences of OpenAI's format",
        [{"input": {"messages": [_USER]}, "preferred_output": [_ANSWER], "non_preferred_output": [_OTHER]}],
    ),
    Form(
        "hh",
        "Preferences as two dialogues in text, as Anthropic's HH",
        [{"chosen": f"\n\nHuman: {_QUESTION}\n\nAssistant: Blue.", "rejected": f"\n\nHuman: {_QUESTION}\n\nAssistant: Red."}],
        {"schema": "hh"},
    ),
    Form(
        "preference",
        "Answers that are labelled good or bad (KTO)",
        [
            {"prompt": _QUESTION, "completion": "Blue.", "label": True},
            {"prompt": _QUESTION, "completion": "Red.", "label": False},
        ],
        {"pair": "best_vs_worst"},
    ),
    Form(
        "preference",
        "Several answers with scores",
        [{"prompt": _QUESTION, "responses": ["Blue.", "Red."], "scores": [5, 1]}],
        {"pair": "best_vs_worst"},
    ),
    Form(
        "xlam",
        "Questions with tool calls, as xLAM",
        [{"query": "Bake rye.", "answers": [{"name": "bake", "arguments": {"what": "rye"}}], "tools": [{"name": "bake"}]}],
    ),
    Form(
        "glaive",
        "Dialogues with functions, as Glaive",
        [{"system": "SYSTEM: Be brief.", "chat": "USER: Hello\n\n\nASSISTANT: Hi"}],
    ),
    Form(
        "requests",
        "Logs of requests with responses, of any provider",
        [{"request": {"messages": [_USER]}, "response": {"choices": [{"message": _ANSWER}]}}],
    ),
    Form(
        "langchain",
        "Histories that LangChain writes",
        [{"messages": [{"type": "human", "content": _QUESTION}, {"type": "ai", "content": "Blue."}]}],
    ),
    Form(
        "messages",
        "The file of a `FinetuneRecorder`, or conversations with a `trace_id`: of calls that a longer one of their trace continues, "
        "the longest is trained on",
        [{"messages": [_USER, _ANSWER], "trace_id": "t1"}],
    ),
    Form("chat_store", "A chat store of LlamaIndex", [{"store": {"ann": [_USER, _ANSWER]}}]),
    Form(
        "handler",
        "Events of LlamaIndex's fine-tuning handler",
        [{"messages": [_USER], "response": _ANSWER}],
        {"schema": "handler"},
    ),
    Form(
        "labelled_rag",
        "A labelled RAG set of LlamaIndex",
        [{"query": _QUESTION, "reference_contexts": ["The sea is blue."], "reference_answer": "Blue."}],
    ),
    Form("query_response", "Queries and responses of LlamaIndex", [{"queries": {"1": _QUESTION}, "responses": {"1": "Blue."}}]),
    Form(
        "llm_runs",
        "Runs of LangSmith",
        [{"run_type": "llm", "inputs": {"messages": [_USER]}, "outputs": {"generations": [[{"message": _ANSWER}]]}}],
    ),
    Form(
        "examples", "Examples of a data set of LangSmith", [{"inputs": {"question": _QUESTION}, "outputs": {"answer": "Blue."}}]
    ),
    Form("langfuse", "Generations of Langfuse", [{"type": "GENERATION", "traceId": "t1", "input": [_USER], "output": _ANSWER}]),
    Form(
        "otel",
        "Spans of OpenTelemetry",
        [{"attributes": {"gen_ai.input.messages": [_USER], "gen_ai.output.messages": [_ANSWER]}}],
    ),
    Form(
        "openinference",
        "Spans of OpenInference, as Phoenix exports them",
        [{"attributes": {"llm.input_messages": [{"message": _USER}], "llm.output_messages": [{"message": _ANSWER}]}}],
    ),
    Form(
        "chatgpt",
        "An export of ChatGPT",
        [
            {
                "mapping": {
                    "1": {"message": {"author": {"role": "user"}, "content": {"parts": [_QUESTION]}}},
                    "2": {"message": {"author": {"role": "assistant"}, "content": {"parts": ["Blue."]}}, "parent": "1"},
                },
                "current_node": "2",
            }
        ],
    ),
    Form(
        "claude",
        "An export of Claude",
        [{"chat_messages": [{"sender": "human", "text": _QUESTION}, {"sender": "assistant", "text": "Blue."}]}],
    ),
    Form(
        "oasst",
        "Trees of messages, as OpenAssistant",
        [{"prompt": {"role": "prompter", "text": _QUESTION, "replies": [{"role": "assistant", "text": "Blue."}]}}],
    ),
)
