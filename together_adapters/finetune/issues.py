"""Issues in data files, and the table of all rules: a stable code, a severity and a hint for each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

from pydantic import BaseModel

Severity = Literal["error", "warning", "ignore"]
_EXCERPT_LENGTH: Final = 80
_REDACTION: Final = "[redacted]"
_POSITION: Final = re.compile(r"(.*?)(?::| ?record )([0-9]{1,19})(?: \(index .*\))?", re.DOTALL)
_SECRET: Final = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*"
    r"|\b(?:sk|pk|rk|tgp|hf|gh[pousr]|github_pat|glpat|xox[abprs]|wandb|lsv2)[-_][A-Za-z0-9_\-]{12,}"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{12,}|\bAIza[A-Za-z0-9_\-]{20,}|\beyJ[A-Za-z0-9_\-]{10,}\.[A-Za-z0-9_\-.]*"
    r"|\b[0-9a-fA-F]{40,}\b|(?i:bearer )\s*[A-Za-z0-9._\-]{12,}|://[^/\s:@]+:[^/\s@]+@"
)


class Issue(BaseModel):
    """A rule that a row, or the file as a whole, breaks.

    Attributes:
        code: The stable name of the rule.
        severity: `error` if the file cannot be used with it, else `warning`.
        line: The line in the file that was checked or written, from 1; None for the file as a whole, and where no file was written.
        source: The name of that file; or where a row that is written comes from: `chats.csv:17` for a line of a file, and
            `chats.json record 17`, counted from 1, where records are no lines. A message says it in place of the line.
        id: The `id` or `custom_id` that the row has, without keys and tokens.
        path: The path of the value in the row, such as `messages[3].tool_calls[0].function.arguments`.
        message: What is wrong.
        hint: How to correct it.
        excerpt: At most 80 characters of the value, without keys and tokens.
    """

    code: str
    severity: Literal["error", "warning"]
    line: int | None = None
    source: str | None = None
    id: str | None = None
    path: str = ""
    message: str
    hint: str = ""
    excerpt: str = ""

    def __str__(self) -> str:
        position = str(self.source) if split_source(self)[1] else f"line {self.line}" if self.line else ""
        identity = f"(id {self.id})" if self.id else ""
        where = " ".join(part for part in (position, identity, self.path) if part)
        return f"{where + ': ' if where else ''}{self.message}" + (f" ({self.hint})" if self.hint else "")


def split_source(issue: Issue) -> tuple[str, int]:
    """Returns the file of an issue and the number of its record there, 0 if it has none: its source is such as `chats.csv:17`."""
    source = issue.source or ""
    match = _POSITION.fullmatch(source)
    return (match[1], int(match[2])) if match else (source, 0)


def issue_with_source(issue: Issue) -> str:
    """Returns an issue as text, with its file or record."""
    return f"{issue.source}: {issue}" if issue.source and not split_source(issue)[1] else str(issue)


def position_of(issue: Issue) -> str:
    """Returns where an issue is: its record in the source, or the line of the file that was checked."""
    if split_source(issue)[1] or not issue.line:
        return issue.source or ""
    return f"{issue.source}:{issue.line}" if issue.source else str(issue.line)


def count_of(number: int, noun: str) -> str:
    """Returns a number with a noun, in the plural where needed."""
    return f"{number:,} {noun if number == 1 else noun + 's'}"


def sorted_counts(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Returns counts by name, highest first."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


class Rule(NamedTuple):
    """The severity of issues of one code, and a hint how to correct them."""

    severity: Severity
    hint: str = ""


_E: Final = "error"
_W: Final = "warning"
_I: Final = "ignore"

RULES: Final[Mapping[str, Rule]] = {
    # the file
    "file_missing": Rule(_E),
    "file_unreadable": Rule(_E),
    "file_too_large": Rule(_E, "split the data, or use a sample of it"),
    "empty_file": Rule(_E),
    "too_few_samples": Rule(_E, "at least one row is needed"),
    "unknown_extension": Rule(_E, "name it .jsonl, .parquet or .csv, in lower case and uncompressed"),
    "not_json_lines": Rule(_E, "the service takes JSON Lines: UTF-8, uncompressed, one object per line"),
    "form_not_trained": Rule(_E, "a row has text; or messages with roles; or prompt and completion; or input and two outputs"),
    "csv_not_for_finetune": Rule(_E, "write one JSON object per line into a .jsonl file"),
    "csv_not_for_purpose": Rule(_E, "CSV is for evaluations only; use .jsonl"),
    "csv_syntax": Rule(_E),
    "csv_columns": Rule(_E, "every row must have as many cells as the header"),
    "parquet_not_for_purpose": Rule(_E, "Parquet is for tokenized training data only; use .jsonl"),
    "parquet_unreadable": Rule(_E),
    "parquet_columns": Rule(_E, "tokenized data has input_ids, and optionally attention_mask, labels and position_ids"),
    "parquet_types": Rule(_E, "these columns must be lists of integers"),
    "tokens_missing": Rule(_E, "every cell must be a list of integers without nulls"),
    "tokens_empty": Rule(_E, "remove the row"),
    "tokens_lengths_differ": Rule(_E, "all lists of a row must have one value per token"),
    "tokens_untrained": Rule(_E, "labels of -100 are not trained on; at least one must differ"),
    "parquet_unchecked": Rule(_W, "install pyarrow to check the rows"),
    "not_utf8": Rule(_E, "save the file as UTF-8"),
    "utf8_bom": Rule(_E, "save the file as UTF-8 without a byte order mark"),
    "mixed_formats_across_lines": Rule(
        _E,
        "all rows of a file must have the format of the first: form='conversation' makes conversations of questions with answers, too;"
        " other formats need a file each",
    ),
    "method_mismatch": Rule(_E, "conversations, instructions and text train with sft, preferences with dpo"),
    "weights_on_some_rows": Rule(_I, "if any message has a weight, the weights of all rows apply; the default is 1"),
    # a line
    "blank_line": Rule(_W, "remove it; some checks count it as a row"),
    "line_too_long": Rule(_E),
    "json_syntax": Rule(_E, "every line must be one complete JSON object"),
    "too_deep": Rule(_E, "reduce the nesting"),
    "number_too_large": Rule(_E, "write it as a string, or remove it"),
    "not_encodable": Rule(_E, "half of a surrogate pair cannot be encoded as UTF-8; remove or complete it"),
    "nul_character": Rule(_W, "remove the character NUL"),
    "duplicate_key": Rule(_E, "parsers keep only one of the values"),
    "line_not_object": Rule(_E, "every line must be one JSON object"),
    # a row
    "unknown_columns": Rule(
        _E, "a row has text; or messages; or prompt and completion; or input, preferred_output and non_preferred_output"
    ),
    "multiple_formats": Rule(_E, "keep the columns of one format"),
    "extra_column": Rule(_W, "it is left out in training; remove it to upload less"),
    "sample_weight_invalid": Rule(_E, "the weight of a row must be a number of 0 or more"),
    "sample_weight_zero": Rule(_W, "a row with weight 0 trains nothing; remove it"),
    # messages
    "messages_not_list": Rule(_E),
    "messages_empty": Rule(_E),
    "message_not_object": Rule(_E),
    "unknown_message_key": Rule(
        _E,
        "the fields of a message are role, content, weight, name, tool_calls, tool_call_id and reasoning;"
        " fixes=Fixes(unknown_fields='drop') removes others",
    ),
    "null_field": Rule(_W, "remove the key"),
    "role_missing": Rule(_E, "write who speaks into role: system, user, assistant or tool"),
    "role_not_string": Rule(_E),
    "role_unknown": Rule(_E, "a role is system, user, assistant or tool, in lower case"),
    "roles_do_not_alternate": Rule(_E, "fixes=Fixes(merge_consecutive=True) merges the messages"),
    "leading_assistant": Rule(
        _E, "start with a system or a user message; fixes=Fixes(leading_assistant='drop') removes earlier answers"
    ),
    "system_not_first": Rule(_E, "only the first message may be a system message"),
    "no_assistant_message": Rule(_E, "there is nothing to train on without an answer"),
    "ends_with_user": Rule(_W, "messages after the last answer are not trained on; fixes=Fixes(trim_trailing=True) removes them"),
    "ends_with_tool": Rule(_W, "the answer after the tool message is missing"),
    "name_not_string": Rule(_E),
    "message_weight_not_int": Rule(_E, "the weight of a message must be the integer 0 or 1; the default is 1"),
    "message_weight_range": Rule(_E, "the weight of a message must be 0 or 1"),
    "nothing_to_train": Rule(_E, "at least one assistant message must have weight 1"),
    "reasoning_not_string": Rule(_E),
    "reasoning_outside_assistant": Rule(_W, "only assistant messages have reasoning"),
    "reasoning_twice": Rule(_W, "reasoning and reasoning_content are two names for the same field; keep one"),
    # content
    "content_missing": Rule(_E, "write the text into content, or remove the message"),
    "content_wrong_type": Rule(_E, "content must be a string or a list of parts"),
    "content_empty": Rule(_E, "an empty answer or text trains nothing"),
    "content_blank": Rule(_W, "white space alone trains nothing useful"),
    "content_mixed": Rule(_E, "if one content of a row is a list of parts, all must be: [{'type': 'text', 'text': ...}]"),
    "content_part_not_object": Rule(_E, "write a text part as {'type': 'text', 'text': ...}"),
    "content_part_type_unknown": Rule(_E, "the type of a part must be text or image_url"),
    "content_part_text_not_string": Rule(_E),
    "image_invalid": Rule(_E, "write {'type': 'image_url', 'image_url': {'url': 'data:image/png;base64,...'}}"),
    "image_not_base64_data_url": Rule(_E, "embed the image: data:image/jpeg;base64,... (or png, webp)"),
    "image_base64_invalid": Rule(_E, "the whole image must follow the comma, in base64"),
    "image_type_mismatch": Rule(_E, "declare the type of the data"),
    "image_too_large": Rule(_E, "an image may have 10 MiB; reduce its size"),
    "image_outside_user_message": Rule(_E, "only user messages may have images"),
    "too_many_images": Rule(_E, "a row may have 10 images"),
    "image_message_weight_nonzero": Rule(
        _E, "a message with an image cannot be trained on; set its weight to 0, or remove the weight"
    ),
    # tools
    "tools_not_list": Rule(_E),
    "tool_invalid": Rule(_E, "a tool must be {'type': 'function', 'function': {'name': ..., 'parameters': {...}}}"),
    "tool_duplicate": Rule(_W),
    "tools_missing": Rule(_W, "declare the tools in the column tools; from_langchain and from_llama_index take them"),
    "tool_undeclared": Rule(_E, "declare it in tools, or correct its name"),
    "tool_calls_not_list": Rule(_E),
    "tool_calls_outside_assistant": Rule(_E, "only assistant messages may have tool calls"),
    "tool_call_invalid": Rule(
        _E, "a tool call must be {'id': ..., 'type': 'function', 'function': {'name': ..., 'arguments': '{...}'}}"
    ),
    "tool_call_id_duplicate": Rule(_E, "tool calls that are open at the same time must have different ids"),
    "tool_call_id_outside_tool": Rule(_W, "only tool messages have a tool_call_id"),
    "tool_arguments_not_string": Rule(_E, "write the arguments as a JSON string, as json.dumps does"),
    "tool_arguments_not_object": Rule(_E, "the string must be a JSON object, such as '{}'"),
    "tool_result_unmatched": Rule(
        _E, "a tool message must follow the tool call with its tool_call_id, and there may be only one"
    ),
    "tool_call_unanswered": Rule(_E, "a tool message must follow for every tool call before the conversation continues"),
    # optional checks
    "leaked_row": Rule(_W, "remove it from one of the two files; the model has memorized its answer"),
    "leaked_prompt": Rule(_W, "remove it from one of the two files, unless several answers are intended"),
    "row_too_long_estimated": Rule(_W, "the service truncates it; use tokenizer= for an exact count"),
    "secret": Rule(_W, "remove and revoke it: whoever trains or queries the model can read it"),
    "personal_data": Rule(_W, "make sure that the model may learn it"),
    # writing rows
    "calls_in_text": Rule(_E, "a call in a text is JSON with name and arguments, closed as it was opened"),
    "column_left_out": Rule(_W, "it is not known what it holds; fixes=Fixes(leave_out=[NAME]) says that it may go"),
    "meaning_left_out": Rule(_E, "fixes=Fixes(leave_out=[NAME]) trains on all rows as if the column were not there"),
    "map_not_row": Rule(_E, "the function for map must return the row; with reason=, None drops it"),
    "not_json": Rule(_E, "a row consists of strings, numbers, true, false, null, lists, and objects with strings as keys"),
    "row_too_long": Rule(
        _E,
        "shorten it; fixes=Fixes(too_long='drop') drops such rows, fixes=Fixes(too_long='keep') lets the service truncate them",
    ),
    "duplicate": Rule(_I),
    "conflicting_answers": Rule(_W, "different answers to the same prompt contradict each other; keep the right one"),
    "prompt_in_training": Rule(_I),
    # data of frameworks
    "message_kind_unknown": Rule(_E, "supported are messages of users, assistants, tools and systems"),
    "record_unknown": Rule(_E, "supported are conversations: messages, prompts with answers, sessions, runs, examples"),
    "columns_undeclared": Rule(_E, "input_key='COLUMN' names the input, output_key='COLUMN' the output"),
    "attachments_unsupported": Rule(_E, "only text and images within messages are supported"),
    "example_without_output": Rule(_E, "remove the example, or add its answer"),
    "tool_error": Rule(_W, "fixes=Fixes(tool_errors='drop_row') drops such rows"),
    "answer_unfinished": Rule(_W, "a truncated answer teaches the model to stop early"),
    "system_prompt_absent": Rule(
        _W,
        "FinetuneRecorder records calls with it; in Python, from_langchain takes it as the argument system, and an empty text if there is none",
    ),
    "run_failed": Rule(_W, "a call that failed has no answer to train on"),
    "run_pending": Rule(_W, "a call without an answer has nothing to train on"),
    "run_not_of_model": Rule(_W, "only runs of models have conversations"),
    "prefix_of_longer": Rule(_W, "collapse_prefixes=False keeps it"),
    "pref_tie": Rule(_W, "neither output is preferred"),
    "pref_unpaired": Rule(_W, "a preference needs a better and a worse answer to the same prompt"),
    # loading data
    "cell_missing": Rule(_E, "fill it; fixes=Fixes(on_error='drop') leaves such rows out"),
    "cell_not_text": Rule(_E),
    "column_missing": Rule(_E, "add it; fixes=Fixes(on_error='drop') leaves such rows out"),
    "column_not_json": Rule(_E, "a column of messages or tools must be lists or JSON strings of lists"),
    "completion_not_answer": Rule(_E, "messages of the user must be in the prompt"),
    "content_part_unsupported": Rule(_E, "only text and images can be trained on; remove the record"),
    "speaker_unknown": Rule(
        _E, "speakers are human, gpt, system, function_call and observation; user, assistant and tool work, too"
    ),
    "history_invalid": Rule(_E, "history must be a list of questions with their answers"),
    "answer_missing": Rule(_E, "a row needs an answer to train on"),
    "image_count": Rule(_E, "the messages must have one placeholder per image"),
    "image_outside_root": Rule(_E, "images are read only below a folder that root='FOLDER' names"),
    "image_remote": Rule(_E, "embed the image as a data URL; in Python, fetch= can download it"),
    "image_type_unsupported": Rule(_E, "convert it to JPEG, PNG or WebP"),
    "image_unreadable": Rule(_E),
    "reasoning_unreadable": Rule(_E, "reasoning that is encrypted or signed cannot be trained on"),
    "template_broken": Rule(_E, "text_dialect='llama3' and others name the chat template of the text"),
    "pref_prompts_differ": Rule(_E, "both outputs must answer the same prompt"),
    "pref_text_undeclared": Rule(_E, "put the prompt into its own column; for dialogues of HH use schema='hh'"),
    "pref_unscored": Rule(_E, "pairing needs several answers with scores, or a good and a bad one, to the same prompt"),
    "paired_with_another": Rule(_I),
    "distractors_missing": Rule(_E, "reduce the number of distractors"),
    "messages_joined": Rule(_E, "FinetuneRecorder records the messages, and so do tracers with _schema_format='original+chat'"),
    "transcript_unclear": Rule(_E, "trace the messages themselves; on_error='drop' leaves such records out"),
    "record_unreadable": Rule(_E, "check that the record has the format of the schema"),
    "store_invalid": Rule(_E),
    "foreign_class": Rule(_E, "only messages are loaded from a file, no other objects"),
    "batch_uneven": Rule(_E),
    "trace_json_truncated": Rule(_E, "raise the limit on the length of attributes in the exporter"),
    "trace_invalid": Rule(_E),
    "not_selected": Rule(_I),
    # preferences
    "pref_input_not_object": Rule(_E),
    "pref_input_messages_missing": Rule(_E),
    "pref_input_ends_with_assistant": Rule(_E, "the input must end with a user message; the answers are in the two outputs"),
    "pref_output_not_list": Rule(_E, "an output must be a list of one assistant message"),
    "pref_output_not_exactly_one": Rule(_E, "an output must be a list of one assistant message"),
    "pref_output_role_missing": Rule(_E, "add 'role': 'assistant'"),
    "pref_output_role_not_assistant": Rule(_E),
    "pref_output_content_missing": Rule(_E, "write the answer into content"),
    "pref_outputs_identical": Rule(_E, "identical outputs teach no preference"),
    # batches
    "batch_custom_id_invalid": Rule(_E, "custom_id must be a string of 1 to 64 characters"),
    "batch_custom_id_duplicate": Rule(_E, "responses are matched by custom_id"),
    "batch_body_invalid": Rule(
        _E, 'a line is {"custom_id": "a", "body": {"model": ..., "messages": [...]}}, with the request as body'
    ),
    "batch_too_many": Rule(_E, "split the requests into several files"),
    "batch_too_large": Rule(_E, "split the requests into several files"),
    # a model's limits
    "model_lacks_tools": Rule(_E, "choose a model that supports tools"),
    "model_lacks_images": Rule(_E, "choose a model that supports images"),
    "model_lacks_reasoning": Rule(_E, "choose a model that supports reasoning, or remove the reasoning"),
    "reasoning_missing": Rule(_W, "a reasoning model unlearns reasoning if no row has any"),
}


def severities_of(overrides: Mapping[str, str] | None) -> dict[str, Severity]:
    """Returns the severity of each issue code, with overrides; raises ValueError if a code or severity is unknown."""
    severities: dict[str, Severity] = {code: rule.severity for code, rule in RULES.items()}
    for code, severity in (overrides or {}).items():
        if code not in RULES:
            raise ValueError(f"there is no issue code {code!r}")
        if severity not in ("error", "warning", "ignore"):
            raise ValueError(f"severity {severity!r} of {code} is none of error, warning, ignore")
        severities[code] = severity  # type: ignore[assignment]
    return severities


def new_issue(
    code: str,
    severity: Literal["error", "warning"],
    message: str,
    value: Any,
    path: str,
    line: int | None,
    source: str | None,
    id: str | None = None,
) -> Issue:
    """Returns an issue with the hint of its rule and excerpts of the value and of the id."""
    return Issue(
        code=code,
        severity=severity,
        line=line,
        source=source,
        id=name if (name := excerpt(id or "")) and _REDACTION not in name else None,
        path=path,
        message=message,
        hint=RULES[code].hint.replace("NAME", repr(path)) if code in RULES else "",
        excerpt=excerpt(value),
    )


def excerpt(value: Any) -> str:
    """Returns the start of a value of any type and size, on one line, without anything that looks like a key."""
    if isinstance(value, bytes):
        value = value[: _EXCERPT_LENGTH * 8].decode("utf-8", "replace")
    if not isinstance(value, str):
        value = _describe(value)
    # The text is redacted before it is shortened, so that no key is cut too short to be recognized.
    text = " ".join(_SECRET.sub(_REDACTION, value[: _EXCERPT_LENGTH * 8]).encode("utf-8", "replace").decode().split())
    return text if len(text) <= _EXCERPT_LENGTH else text[: _EXCERPT_LENGTH - 1] + "…"


def _describe(value: Any) -> str:
    """Returns numbers as text and other values by their type, since they may be large or deep."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return str(value) if value.bit_length() < 200 else "a very large number"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, dict):
        return "an object with " + ", ".join(str(key)[:30] for key in list(value)[:5]) if value else "an empty object"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return type(value).__name__
