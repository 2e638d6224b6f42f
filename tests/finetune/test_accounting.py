"""Every column and key of every record is accounted for: converted, refused by name, or named with the number of its rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given
from hypothesis import strategies as st

from tests.cases import each
from tests.conftest import example_count
from tests.finetune.formats.reading import says, user
from tests.finetune.formats.test_counts import GOOD
from together_adapters.errors import DatasetError
from together_adapters.finetune import DataReport, Fixes, load, write_jsonl
from together_adapters.finetune.accounting import Meaning, meaning_of
from together_adapters.finetune.formats.registry import DATA_FORMATS
from together_adapters.finetune.records import Example

FORMS = [name for name, data_format in DATA_FORMATS.items() if data_format.reads is not None and not data_format.traces]
TRACES = [name for name, data_format in DATA_FORMATS.items() if data_format.traces]
ROWS = 12
PNG = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAEklEQVR4nGP8z4AdMOEQH6QSAM1BAQ/oQeJvAAAAAElFTkSuQmCC"
TOOLS = [{"type": "function", "function": {"name": "mark", "parameters": {"type": "object", "properties": {}}}}]
MEANINGFUL: dict[str, Any] = {
    "system": "mark", "system_prompt": "mark", "label": 1, "score": 0.5, "rejected": "mark", "chosen": "mark", "image": PNG,
    "images": [PNG], "audio": "mark.mp3", "video": "mark.mp4", "tools": TOOLS, "reasoning": "mark", "thinking": "mark",
    "context": "mark", "history": [["mark", "mark"]], "kto_tag": False, "rejected_response": "mark", "outputs": [{"text": "mark"}],
    "systemPrompt": "mark", "thoughts": ["mark"], "is_good": False, "image_url": "mark.png", "loss_mask": [0, 1],
}  # fmt: skip
VALUES = st.text(min_size=1) | st.integers() | st.booleans() | st.lists(st.integers(), min_size=1) | st.just({"a": 1})


def records(schema: str, column: str, value: Any, first: int) -> list[dict[str, Any]]:
    """Records of a format, with a column more from a row on."""
    return [{**GOOD[schema], **({column: value} if number >= first else {})} for number in range(ROWS)]


def outcome(rows: list[Any], schema: str, path: Path, **options: Any) -> tuple[DataReport | None, str]:
    """The report, or None, and the text of the file or of the error."""
    try:
        file = write_jsonl(load(rows, schema), path, fixes=Fixes(**options), overwrite=True)
    except DatasetError as error:
        return None, str(error)
    return file.report, path.read_text("utf-8")


def is_accounted(name: str, value: Any, first: int, report: DataReport | None, text: str) -> bool:
    if report is None:
        return name in text
    if report.left_out:
        return report.left_out.get(name) == ROWS - first
    marks = [mark in line for line in text.splitlines() for mark in ("mark", PNG) if mark in json.dumps(value)]
    return sum(marks) == ROWS - first


@pytest.mark.parametrize("schema", FORMS)
@example_count(12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12),
    value=VALUES,
    first=st.sampled_from([0, 7]),
)
def test_a_column_of_any_name_is_named_with_its_rows(schema: str, name: str, value: Any, first: int, tmp_path: Path) -> None:
    assume(name not in (DATA_FORMATS[schema].reads or ()) and name != "weight")
    report, text = outcome(records(schema, name, value, first), schema, tmp_path / "a.jsonl")
    assert is_accounted(name, value, first, report, text)
    if report is not None:
        assert report.valid == ROWS and report.left_out == {name: ROWS - first}
        is_harmless = meaning_of(name, "rejected" in GOOD[schema]) is True
        assert report.issue_counts.get("column_left_out", 0) == (0 if is_harmless else 1)


@pytest.mark.parametrize("schema", FORMS)
@each("first", [0, 7])
@each("name", MEANINGFUL)
def test_a_column_that_carries_meaning_is_converted_or_refused(schema: str, name: str, first: int, tmp_path: Path) -> None:
    value = MEANINGFUL[name]
    if name not in GOOD[schema]:
        report, text = outcome(records(schema, name, value, first), schema, tmp_path / "a.jsonl")
        assert is_accounted(name, value, first, report, text)


@pytest.mark.parametrize("schema", TRACES)
def test_columns_around_a_traced_call_are_named(schema: str, tmp_path: Path) -> None:
    rows = [{**GOOD[schema], "promptName": "x", "zonk": 1}]
    report, _ = outcome(rows, schema, tmp_path / "a.jsonl")
    assert report is not None and report.left_out == {"trace.promptName": 1, "trace.zonk": 1}
    assert [issue.path for issue in report.issues if issue.code == "column_left_out"] == ["trace.zonk"]


JUDGEMENTS: dict[str, Any] = {
    "score": 0, "user_score": 0.0, "scores": [{"name": "quality", "value": 0.0}], "scores.quality": 0.0, "feedback": "thumbs_down",
    "feedback_stats": {"user": {"n": 1, "avg": 0.0}}, "eval.Faithful.label": "no", "assessments": [{"name": "x", "feedback": {}}],
    "annotations": [{"name": "x", "result": {"label": "no"}}], "metadata": {"rating": 1}, "attributes.score": 0,
}  # fmt: skip


@each("name", JUDGEMENTS)
@pytest.mark.parametrize("schema", TRACES)
def test_a_judgement_around_a_traced_call_is_refused(schema: str, name: str, tmp_path: Path) -> None:
    rows = [{**GOOD[schema], name: JUDGEMENTS[name]}]
    report, text = outcome(rows, schema, tmp_path / "a.jsonl")
    assert report is None and "judges an answer" in text
    path = text.split("leave_out=['")[1].split("']")[0]
    report, _ = outcome(rows, schema, tmp_path / "a.jsonl", leave_out=[path])
    assert report is not None and report.valid == 1
    by_user = write_jsonl(load(rows, schema, select=lambda record: name in record), tmp_path / "b.jsonl", overwrite=True).report
    assert by_user.valid == 1 and any(one.startswith("selected.") for one in by_user.left_out)


@each("name", ["labels", "feedback_stats", "retrieval.documents.0.document.score", "candidates.safetyRatings", "scoreIds"])
@pytest.mark.parametrize("schema", TRACES)
def test_what_is_no_judgement_of_the_answer_is_named_alone(schema: str, name: str, tmp_path: Path) -> None:
    value = {} if name == "feedback_stats" else [0.5]
    report, _ = outcome([{**GOOD[schema], name: value}], schema, tmp_path / "a.jsonl")
    assert report is not None and (not value or report.left_out == {f"trace.{name}": 1})


def test_scores_of_a_langfuse_trace_are_those_of_its_calls(tmp_path: Path) -> None:
    trace = {"id": "t", "scores": [{"name": "quality", "value": 0.0}], "observations": [GOOD["langfuse"]]}
    assert "'trace.scores' judges" in outcome([trace], "langfuse", tmp_path / "a.jsonl")[1]


@pytest.mark.parametrize("as_file", [False, True])
@each("schema", ["messages", "prompt_completion", "requests", "examples"])
def test_a_judgement_in_metadata_is_refused(schema: str, as_file: bool, tmp_path: Path) -> None:
    rows = [{**GOOD[schema], "metadata": {"source": "x", "rating": number or None}} for number in (0, 1)]
    source: Any = rows
    if as_file:
        source = tmp_path / "in.jsonl"
        source.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    report, text = outcome(source, schema, tmp_path / "a.jsonl")
    assert report is None and "1 of 2" in text and "'metadata.rating' judges" in text
    report, _ = outcome(source, schema, tmp_path / "a.jsonl", leave_out=["metadata.rating"])
    assert report is not None and report.left_out == {"metadata": 2}


def test_fields_beside_the_question_of_an_example_are_accounted_for(tmp_path: Path) -> None:
    rows = [{"inputs": {"question": "q", "context": "c"}, "outputs": {"answer": "a", "zonk": 1}}]
    (record,) = load(rows, input_key="question", output_key="answer").records()
    assert isinstance(record, Example) and record.left_out == {"inputs.context": "c", "outputs.zonk": 1}
    with pytest.raises(DatasetError, match=r"'inputs\.context' is context"):
        write_jsonl(load(rows, input_key="question", output_key="answer"), tmp_path / "a.jsonl")


@pytest.mark.parametrize("name", ["zonk", "thought", "rejected", "mask", "id"])
@pytest.mark.parametrize(
    ("schema", "template"),
    [
        ("sharegpt", {"conversations": [{"from": "human", "value": "q", "NAME": "mark"}, {"from": "gpt", "value": "a"}]}),
        ("sharegpt", {"conversations": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "NAME": "mark"}]}),
        ("messages", {"messages": [user([{"type": "text", "text": "q", "NAME": "mark"}]), says()]}),
        ("messages", {"messages": [user(), says(NAME="mark")]}),
        ("messages", {"messages": [user(), says(tool_calls=[{"function": {"name": "f", "arguments": {}}, "NAME": "mark"}])]}),
        ("messages", {"messages": [user(), says(tool_calls=[{"function": {"name": "f", "arguments": {}, "NAME": "mark"}}])]}),
        ("messages", {"messages": [user(), says()], "tools": [{"name": "f", "parameters": {}, "NAME": "mark"}]}),
        ("preference", {"prompt": [user(NAME="mark")], "chosen": "a", "rejected": "b"}),
        ("preference", {"input": {"messages": [user()], "NAME": "mark"}, "preferred_output": [says()], "non_preferred_output": [says("b")]}),
        ("prompt_completion", {"prompt": [user()], "completion": [says(NAME="mark")]}),
    ],
)  # fmt: skip
def test_a_key_at_any_depth_is_accounted_for(schema: str, template: Any, name: str, tmp_path: Path) -> None:
    record = json.loads(json.dumps(template).replace("NAME", name))
    report, text = outcome([record] * 3, schema, tmp_path / "a.jsonl")
    if report is None:
        assert name in text
    elif report.left_out:
        assert [number for key, number in report.left_out.items() if key.endswith(f".{name}")] == [3]
    else:
        assert text.count("mark") == 3


def test_what_is_left_out_is_named_and_what_is_unknown_is_a_warning(tmp_path: Path) -> None:
    rows = [{"prompt": f"q{number}", "completion": "a", "id": number, "zonk": number or None} for number in range(5)]
    report = write_jsonl(load(rows), tmp_path / "a.jsonl").report
    assert report.left_out == {"id": 5, "zonk": 4} and report.ok
    (issue,) = report.issues
    assert (issue.code, issue.severity, issue.path, issue.source) == ("column_left_out", "warning", "zonk", "data record 2")
    assert issue.message == "'zonk' is left out in training, in 4 rows"
    assert report.issue_counts == {"column_left_out": 1} and report.warnings == 1
    report_file = json.loads((tmp_path / "a.report.json").read_text("utf-8"))
    assert report_file["left_out"] == {"id": 5, "zonk": 4}
    assert (report + report).left_out == {"id": 10, "zonk": 8}


def test_users_say_what_may_go(tmp_path: Path) -> None:
    rows = [{"prompt": "q", "completion": "a", "score": 3, "zonk": 1}]
    report, text = outcome(rows, "prompt_completion", tmp_path / "a.jsonl")
    assert report is None and "leave_out=['score']" in text
    report, _ = outcome(rows, "prompt_completion", tmp_path / "a.jsonl", leave_out=["score", "zonk"])
    assert report is not None and report.left_out == {"score": 1, "zonk": 1} and not report.warnings
    as_warning = write_jsonl(load(rows), tmp_path / "b.jsonl", severities={"meaning_left_out": "warning"}).report
    assert as_warning.left_out == {"score": 1, "zonk": 1} and as_warning.warnings == 2
    with pytest.raises(DatasetError, match="zonk"):
        write_jsonl(load(rows), tmp_path / "c.jsonl", fixes=Fixes(leave_out=["score"]), severities={"column_left_out": "error"})
    with pytest.raises(ValueError, match=r"\['score'\]"):
        Fixes(leave_out="score")


def test_map_and_filter_see_the_columns_and_answer_for_them(tmp_path: Path) -> None:
    rows = [{"messages": [user(), says(str(number))], "label": number % 2 == 0} for number in range(4)]
    good = load(rows).filter(lambda row: row["label"]).map(lambda row: {"messages": row["messages"]})
    report = write_jsonl(good, tmp_path / "a.jsonl").report
    assert (report.valid, report.left_out) == (2, {})
    with pytest.raises(DatasetError, match="'label'"):
        write_jsonl(load(rows).filter(lambda row: row["label"]), tmp_path / "b.jsonl")
    with pytest.raises(DatasetError, match="'reasoning'"):
        write_jsonl(load(rows).map(lambda row: {"messages": row["messages"], "reasoning": "mark"}), tmp_path / "b.jsonl")


def test_fields_of_messages_that_are_dropped_are_named(tmp_path: Path) -> None:
    rows = [{"messages": [user(), says(zonk=1, thought="mark")]}]
    report, text = outcome(rows, "messages", tmp_path / "a.jsonl")
    assert report is None and "zonk" in text
    report, _ = outcome(rows, "messages", tmp_path / "a.jsonl", unknown_fields="drop")
    assert report is not None and report.left_out == {"messages[].zonk": 1, "messages[].thought": 1}


def test_empty_values_and_repetitions_carry_nothing(tmp_path: Path) -> None:
    rows = [{"messages": [user("What?"), says("That.")], "prompt": "What?", "rejected": None, "system": "", "tools": []}]
    report = write_jsonl(load(rows, "messages"), tmp_path / "a.jsonl").report
    assert report.left_out == {"prompt": 1} and not report.warnings


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        ("id promptId response_id created_at source url num_turns n_tokens image_width chosen_model quality_score event.name status message_ids categories", True),
        ("zonk q1 käse", None),
        ("label kto_tag replies Score overall_rating systemPrompt audio_path image_url choices thoughts is_good label_id loss_mask", Meaning),
    ],
)  # fmt: skip
def test_names_by_their_words(names: str, kind: Any) -> None:
    meanings = {name: meaning_of(name) for name in names.split()}
    assert all(isinstance(meaning, Meaning) if kind is Meaning else meaning is kind for meaning in meanings.values()), meanings


def test_scores_of_a_preference_are_its_provenance() -> None:
    assert meaning_of("score_chosen", True) is True
    assert isinstance(meaning_of("label", True), Meaning)


def test_a_template_answers_for_the_columns_that_it_reads(tmp_path: Path) -> None:
    rows = [{"instruction": "q", "output": "a", "context": "c", "zonk": 1}]
    report = write_jsonl(
        load(rows, template=lambda row: f"{row['instruction']} {row.get('context')}"), tmp_path / "a.jsonl"
    ).report
    assert report.left_out == {"zonk": 1} and '"q c"' in (tmp_path / "a.jsonl").read_text("utf-8")
    with pytest.raises(DatasetError, match="'context' is context"):
        write_jsonl(load(rows, template=lambda row: row["instruction"]), tmp_path / "b.jsonl")
    report = write_jsonl(load(rows, template="{instruction} {context} {zonk}".format_map), tmp_path / "c.jsonl").report
    assert report.left_out == {}


def test_a_column_whose_place_another_takes_is_named(tmp_path: Path) -> None:
    rows = [{"prompt": "raw", "question": "q", "completion": "a"}]
    report = write_jsonl(load(rows, columns={"prompt": "question"}), tmp_path / "a.jsonl").report
    assert report.left_out == {"replaced.prompt": 1} and not report.warnings


@pytest.mark.parametrize(
    ("schema", "columns"),
    [
        ("messages", {"image": PNG, "images": [PNG]}),
        ("messages", {"tools": TOOLS, "functions": [{"name": "f"}]}),
        ("messages", {"system": "mark", "system_prompt": "other"}),
        ("sharegpt", {"conversation": [{"from": "human", "value": "mark"}]}),
        ("preference", {"input": {"messages": [user("mark")]}}),
        ("openai", {"input": {"messages": [user("mark")]}}),
    ],
)
def test_two_columns_for_one_place_are_refused(schema: str, columns: dict[str, Any], tmp_path: Path) -> None:
    report, text = outcome([{**GOOD[schema], **columns}], schema, tmp_path / "a.jsonl")
    assert report is None and list(columns)[-1] in text


@pytest.mark.parametrize("schema", ["messages", "prompt_completion", "alpaca", "sharegpt", "preference"])
def test_a_text_beside_another_format_is_its_rendering(schema: str, tmp_path: Path) -> None:
    report = write_jsonl(load([{**GOOD[schema], "text": "### q ### a"}] * 2), tmp_path / "a.jsonl").report
    assert report.left_out == {"text": 2} and report.issue_counts == {"column_left_out": 1}
    assert (tmp_path / "a.jsonl").read_text("utf-8").count("###") == 0


def test_settings_of_requests_are_harmless(tmp_path: Path) -> None:
    rows = [{**GOOD["messages"], "tool_choice": "auto", "parallel_tool_calls": True}]
    report = write_jsonl(load(rows), tmp_path / "a.jsonl").report
    assert report.left_out == {"tool_choice": 1} and not report.warnings
