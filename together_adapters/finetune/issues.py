"""One fault of a data file, and the table of all that there are: a stable code, how grave it is, and what helps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from pydantic import BaseModel

Severity = Literal["error", "warning", "ignore"]


class Issue(BaseModel):
    """Something that is wrong, or odd, at one place.

    Attributes:
        code: Its stable name.
        severity: `error` where the file must not be used so, else `warning`.
        line: Line in the file, counted from 1; None where the file as a whole is meant.
        source: The file's name, or what else the row came from.
        path: Where in the row, such as `messages[3].tool_calls[0].function.arguments`.
        message: What is wrong.
        hint: What to do.
        excerpt: The value, at most 80 characters, with keys and tokens blotted out.
    """

    code: str
    severity: Literal["error", "warning"]
    line: int | None = None
    source: str | None = None
    path: str = ""
    message: str
    hint: str = ""
    excerpt: str = ""

    def __str__(self) -> str:
        where = " ".join(part for part in (f"line {self.line}" if self.line else "", self.path) if part)
        return f"{where + ': ' if where else ''}{self.message}" + (f" ({self.hint})" if self.hint else "")


def file_of(issue: Issue) -> str:
    """Return the file that an issue is in: its source, without the number of a record."""
    return _divided(issue)[0]


def record_of(issue: Issue) -> int:
    """Return the number of the record that an issue is in; 0 where its source names none."""
    return _divided(issue)[1]


def _divided(issue: Issue) -> tuple[str, int]:
    """Divide a source such as `chats.csv:17`."""
    name, _, number = (issue.source or "").rpartition(":")
    return (name, int(number)) if number.isdecimal() and len(number) < 20 else (issue.source or "", 0)


def issue_with_source(issue: Issue) -> str:
    """Return an issue in words, with the file or the record that it is in."""
    return f"{issue.source}: {issue}" if issue.source else str(issue)


class Rule(NamedTuple):
    """How grave a fault is, and what helps."""

    severity: Severity
    hint: str = ""


_E: Final = "error"
_W: Final = "warning"
_I: Final = "ignore"

RULES: Final[Mapping[str, Rule]] = {
    # the file
    "file_missing": Rule(_E),
    "file_unreadable": Rule(_E),
    "file_too_large": Rule(_E, "split the data, or take a sample of it"),
    "empty_file": Rule(_E),
    "too_few_samples": Rule(_E, "one sample at least is needed"),
    "unknown_extension": Rule(_E, "name it .jsonl, .parquet or .csv, in lower case and uncompressed"),
    "csv_not_for_finetune": Rule(_E, "write one JSON object per line into a .jsonl file"),
    "csv_not_for_purpose": Rule(_E, "CSV is for evaluations alone; use .jsonl"),
    "csv_syntax": Rule(_E),
    "csv_columns": Rule(_E, "every row needs as many cells as the header"),
    "parquet_not_for_purpose": Rule(_E, "Parquet is for tokenized training data alone; use .jsonl"),
    "parquet_unreadable": Rule(_E),
    "parquet_columns": Rule(_E, "tokenized data has input_ids, and may have attention_mask, labels and position_ids"),
    "parquet_types": Rule(_E, "these columns hold lists of integers"),
    "tokens_missing": Rule(_E, "every cell is a list of integers, without nulls"),
    "tokens_empty": Rule(_E, "leave the row out"),
    "tokens_lengths_differ": Rule(_E, "all lists of a row have one value for each token"),
    "tokens_untrained": Rule(_E, "a label of -100 is not trained on; one at least must be another"),
    "parquet_unchecked": Rule(_W, "install pyarrow to have it checked"),
    "not_utf8": Rule(_E, "save the file as UTF-8"),
    "utf8_bom": Rule(_E, "save the file as UTF-8 without a byte order mark"),
    "mixed_formats_across_lines": Rule(_E, "all rows of a file must have the format of the first; use one file per format"),
    "method_mismatch": Rule(_E, "conversations, instructions and text train with sft, preferences with dpo"),
    "weights_on_some_rows": Rule(
        _I, "with weights on any message, all rows are trained as their weights say, 1 where none is given"
    ),
    # a line
    "blank_line": Rule(_W, "remove it; some checks count it as a sample"),
    "line_too_long": Rule(_E),
    "json_syntax": Rule(_E, "every line must be one complete JSON object"),
    "too_deep": Rule(_E, "it is nested too deeply for a JSON parser"),
    "number_too_large": Rule(_E, "write it as a text, or leave it out"),
    "not_encodable": Rule(_E, "half of a surrogate pair cannot be written as UTF-8; remove it or complete it"),
    "nul_character": Rule(_W, "a text holds the character NUL"),
    "duplicate_key": Rule(_E, "parsers keep one of the values and drop the others"),
    "line_not_object": Rule(_E, "every line must be one JSON object"),
    # a row
    "unknown_columns": Rule(
        _E, "a row has text; or messages; or prompt and completion; or input, preferred_output and non_preferred_output"
    ),
    "multiple_formats": Rule(_E, "keep the columns of one format"),
    "extra_column": Rule(_W, "it is not trained on; leave it out to upload less"),
    "sample_weight_invalid": Rule(_E, "the weight of a sample is a number of 0 or more"),
    "sample_weight_zero": Rule(_W, "a sample of weight 0 trains nothing; leave it out"),
    # messages
    "messages_not_list": Rule(_E),
    "messages_empty": Rule(_E),
    "message_not_object": Rule(_E),
    "unknown_message_key": Rule(_E, "a message has role, content, weight, name, tool_calls, tool_call_id and reasoning"),
    "null_field": Rule(_W, "leave the key out"),
    "role_missing": Rule(_E),
    "role_not_string": Rule(_E),
    "role_unknown": Rule(_E, "a role is system, user, assistant or tool, in lower case"),
    "roles_do_not_alternate": Rule(_E, "merge the two messages into one"),
    "leading_assistant": Rule(_E, "begin with a system or a user message"),
    "system_not_first": Rule(_E, "one system message, at the beginning"),
    "no_assistant_message": Rule(_E, "there is nothing to train on without an answer"),
    "ends_with_user": Rule(_W, "nothing after the last answer is trained on; leave it out"),
    "ends_with_tool": Rule(_W, "the answer to the tool's result is missing"),
    "name_not_string": Rule(_E),
    "message_weight_not_int": Rule(_E, "the weight of a message is the integer 0 or 1; leave the key out for 1"),
    "message_weight_range": Rule(_E, "the weight of a message is 0 or 1"),
    "nothing_to_train": Rule(_E, "one assistant message at least needs weight 1"),
    "reasoning_not_string": Rule(_E),
    "reasoning_outside_assistant": Rule(_W, "only answers have reasoning"),
    "reasoning_twice": Rule(_W, "reasoning and reasoning_content are two names of the same; keep one"),
    # content
    "content_missing": Rule(_E),
    "content_wrong_type": Rule(_E, "content is a text, or a list of parts"),
    "content_empty": Rule(_E, "an answer without content trains nothing"),
    "content_blank": Rule(_W, "an answer of blanks trains nothing useful"),
    "content_mixed": Rule(_E, "where one message of a row has a list of parts, all need one: [{'type': 'text', 'text': ...}]"),
    "content_part_not_object": Rule(_E, "write a text part as {'type': 'text', 'text': ...}"),
    "content_part_type_unknown": Rule(_E, "a part is of type text or image_url"),
    "content_part_text_not_string": Rule(_E),
    "image_invalid": Rule(_E, "write {'type': 'image_url', 'image_url': {'url': 'data:image/png;base64,...'}}"),
    "image_not_base64_data_url": Rule(_E, "embed the image: data:image/jpeg;base64,... (or png, webp)"),
    "image_base64_invalid": Rule(_E, "what follows the comma must be the whole image in base64"),
    "image_type_mismatch": Rule(_E, "name the type that the bytes have"),
    "image_too_large": Rule(_E, "an image has 10 MiB at most; make it smaller"),
    "image_outside_user_message": Rule(_E, "images belong into user messages"),
    "too_many_images": Rule(_E, "a row has 10 images at most"),
    "image_message_weight_nonzero": Rule(_E, "a message with an image cannot be trained on; give it weight 0, or none"),
    # tools
    "tools_not_list": Rule(_E),
    "tool_invalid": Rule(_E, "a tool is {'type': 'function', 'function': {'name': ..., 'parameters': {...}}}"),
    "tool_duplicate": Rule(_W),
    "tools_missing": Rule(_W, "declare the tools that are called, in the column tools"),
    "tool_undeclared": Rule(_E, "declare it in tools, or correct its name"),
    "tool_calls_not_list": Rule(_E),
    "tool_calls_outside_assistant": Rule(_E, "only an assistant message calls tools"),
    "tool_call_invalid": Rule(_E, "a call is {'id': ..., 'type': 'function', 'function': {'name': ..., 'arguments': '{...}'}}"),
    "tool_call_id_duplicate": Rule(_E, "calls that are open at the same time need ids of their own"),
    "tool_call_id_outside_tool": Rule(_W, "only a tool message names a call"),
    "tool_arguments_not_string": Rule(_E, "write the arguments as JSON text, as json.dumps does"),
    "tool_arguments_not_object": Rule(_E, "the text must be a JSON object, such as '{}'"),
    "tool_result_unmatched": Rule(_E, "a tool message follows the call that its tool_call_id names, once"),
    "tool_call_unanswered": Rule(_E, "a tool message must answer every call before the conversation goes on"),
    # what a check looks for when it is asked to
    "leaked_row": Rule(_W, "leave it out of one of the two files; what is measured with it is memory"),
    "leaked_prompt": Rule(_W, "leave it out of one of the two files, unless many answers to it are meant"),
    "row_too_long_estimated": Rule(_W, "what is beyond is cut off; count with tokenizer= to be sure"),
    "secret": Rule(_W, "take it out, and have it replaced: who trains or asks the model can read it"),
    "personal_data": Rule(_W, "make sure that the model may know it"),
    # what rows are made into
    "map_not_row": Rule(_E, "a function for map returns the row; with reason=, None leaves it out"),
    "not_json": Rule(_E, "a row holds texts, numbers, true, false, null, lists and objects with texts as keys"),
    "row_too_long": Rule(_E, "shorten it; too_long='drop' leaves such rows out, too_long='keep' lets the service cut them off"),
    "duplicate": Rule(_I),
    "conflicting_answers": Rule(_W, "equal prompts with different answers blur what is learnt; keep the right one"),
    "prompt_in_training": Rule(_I),
    # what frameworks hold
    "message_kind_unknown": Rule(_E, "give messages of people, models, tools and systems"),
    "record_unknown": Rule(_E, "give conversations: messages, prompts with answers, sessions, runs, examples"),
    "columns_undeclared": Rule(_E, "name them with input_key= and output_key="),
    "attachments_unsupported": Rule(_E, "train on text and on images within messages"),
    "example_without_output": Rule(_E, "leave the example out, or give it the answer to be learnt"),
    "tool_error": Rule(_W, "tool_errors='drop_row' leaves such conversations out"),
    "answer_unfinished": Rule(_W, "an answer that was cut off teaches to stop in the middle"),
    "run_failed": Rule(_W),
    "run_pending": Rule(_W),
    "run_not_of_model": Rule(_W, "only calls of models hold conversations"),
    "prefix_of_longer": Rule(_W, "collapse_prefixes=False keeps it"),
    "pref_tie": Rule(_W, "neither of two answers is the better one"),
    "pref_unpaired": Rule(_W, "a preference needs a better and a worse answer to the same question"),
    # what is loaded
    "cell_missing": Rule(_E, "the column has no value in this row"),
    "cell_not_text": Rule(_E),
    "column_missing": Rule(_E, "columns= names the source's column for each of the schema's"),
    "column_not_json": Rule(_E, "a column of messages or tools holds lists, or their JSON text"),
    "completion_not_answer": Rule(_E, "what is asked belongs into the prompt"),
    "content_part_unsupported": Rule(_E, "only texts and images can be trained on; leave the record out"),
    "history_invalid": Rule(_E, "history is a list of questions with their answers"),
    "answer_missing": Rule(_E, "without an answer there is nothing to learn"),
    "image_count": Rule(_E, "every image needs one place in the messages"),
    "image_outside_root": Rule(_E, "root= names the folder below which images are read"),
    "image_remote": Rule(_E, "embed the image, or give a function as fetch="),
    "image_type_unsupported": Rule(_E, "convert it to JPEG, PNG or WebP"),
    "image_unreadable": Rule(_E),
    "reasoning_unreadable": Rule(_E, "reasoning that is encrypted or signed cannot be trained on"),
    "template_broken": Rule(_E, "text_dialect= names the template that the text was made with"),
    "pref_prompts_differ": Rule(_E, "both answers must be to the same question"),
    "pref_text_undeclared": Rule(_E, "give the prompt in a column of its own; for HH's dialogues say schema='hh'"),
    "pref_unscored": Rule(
        _E, "pairing takes the best and the worst of answers with scores, or a good and a bad one to one prompt"
    ),
    "paired_with_another": Rule(_I),
    "distractors_missing": Rule(_E, "ask for fewer distractors"),
    "record_unreadable": Rule(_E, "look whether the record has the form that the schema has"),
    "store_invalid": Rule(_E),
    "foreign_class": Rule(_E, "only messages are read; nothing else is built from a file"),
    "batch_uneven": Rule(_E),
    "trace_json_truncated": Rule(_E, "raise the limit for the length of attributes in the exporter"),
    "trace_invalid": Rule(_E),
    "not_selected": Rule(_I),
    # preferences
    "pref_input_not_object": Rule(_E),
    "pref_input_messages_missing": Rule(_E),
    "pref_input_ends_with_assistant": Rule(_E, "the input ends with a question; the answers are in the two outputs"),
    "pref_output_not_list": Rule(_E, "an output is a list of one assistant message"),
    "pref_output_not_exactly_one": Rule(_E, "an output is a list of one assistant message"),
    "pref_output_role_missing": Rule(_E),
    "pref_output_role_not_assistant": Rule(_E),
    "pref_output_content_missing": Rule(_E),
    "pref_outputs_identical": Rule(_E, "two equal answers teach no preference"),
    # batches
    "batch_custom_id_invalid": Rule(_E, "custom_id is a text of 1 to 64 characters"),
    "batch_custom_id_duplicate": Rule(_E, "answers are told apart by custom_id"),
    "batch_body_invalid": Rule(_E, "body is the request, an object"),
    "batch_too_many": Rule(_E, "write the others to another file"),
    "batch_too_large": Rule(_E, "write the others to another file"),
    # a model's limits
    "model_lacks_tools": Rule(_E, "choose a model that is trained with tools"),
    "model_lacks_images": Rule(_E, "choose a model that sees"),
    "model_lacks_reasoning": Rule(_E, "choose a model that reasons, or leave the reasoning out"),
    "reasoning_missing": Rule(_W, "a model that reasons forgets it when no row shows reasoning"),
}


def severities_of(changed: Mapping[str, str] | None) -> dict[str, Severity]:
    """Return how grave every fault is.

    Args:
        changed: Other severities by code: `error`, `warning` or `ignore`.

    Raises:
        ValueError: A code or a severity does not exist.
    """
    found: dict[str, Severity] = {code: rule.severity for code, rule in RULES.items()}
    for code, severity in (changed or {}).items():
        if code not in RULES:
            raise ValueError(f"there is no issue {code!r}")
        if severity not in ("error", "warning", "ignore"):
            raise ValueError(f"severity {severity!r} of {code} is none of error, warning, ignore")
        found[code] = severity  # type: ignore[assignment]
    return found
