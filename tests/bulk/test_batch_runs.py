"""Runs by batch jobs: results, second rounds, uncertain steps, and every request of a run that fails."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from warnings import catch_warnings

import pytest

from together_adapters import Control, ModelRemovedWarning
from together_adapters.bulk import BulkProgress
from together_adapters.bulk import run as bulk_run
from together_adapters.bulk.checkpoint import Checkpoint
from together_adapters.bulk.database import Database
from together_adapters.emulator import Emulator
from together_adapters.emulator.http.faults import Fault
from together_adapters.errors import (
    APIError,
    APITimeoutError,
    BudgetExceededError,
    ConfigurationError,
    DatasetError,
    RateLimitError,
    TogetherError,
)
from together_adapters.types.chat import ChatCompletion

MODEL = "openai/gpt-oss-120b"
LINES = "lines of a batch"


GONE = "meta-llama/Llama-3.3-70B-Instruct-Turbo"  # models-check: ignore: it is gone


def bodies(count: int, model: str | None = MODEL) -> list[dict[str, Any]]:
    messages = [[{"role": "user", "content": f"Repeat the number {number}."}] for number in range(count)]
    return [{**({"model": model} if model else {}), "messages": each, "max_tokens": 30} for each in messages]


def echo(emulator: Emulator) -> None:
    """Lets the emulator answer with the question, so that an answer shows whose it is."""
    emulator.reply(lambda request: request["messages"][-1]["content"])


def texts(flavour: Any, results: Any) -> list[str | None]:
    items = list(results) if not flavour.is_async else list(flavour.iterate(aiter(results)))
    assert [item.index for item in items] == list(range(len(items)))
    return [item.response.choices[0].message.content if item.response else None for item in items]


def expected(count: int) -> list[str]:
    return [f"Repeat the number {number}." for number in range(count)]


def sent(emulator: Emulator, method: str, path: str) -> int:
    return sum(request.method == method and request.path.startswith(path) for request in emulator.requests)


def run(flavour: Any, inputs: Any, **options: Any) -> Any:
    client = options.pop("client", None) or flavour.client(max_retries=0)
    return flavour.run(client.batches.run(inputs, poll_interval=0.02, **options))


def test_results_are_in_order_and_typed(flavour: Any, emulator: Emulator, tmp_path: Path) -> None:
    echo(emulator)
    states: list[BulkProgress] = []
    results = run(flavour, (body for body in bodies(30)), checkpoint=tmp_path / "run.sqlite", progress=states.append)
    assert texts(flavour, results) == expected(30) == texts(flavour, results)
    assert len(results) == 30 and results.failed == []
    assert type(next(iter(results)).response) is ChatCompletion
    bill = emulator.bill.total()
    assert (results.usage.prompt_tokens, results.usage.completion_tokens) == (bill.input_tokens, bill.output_tokens)
    assert results.cost == pytest.approx(bill.cost)
    assert [state.phase for state in states[:2]] == ["read", "upload"] and states[-1] == BulkProgress(30, 30, 0, "done")
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith("run.sqlite")] == []


def test_equal_requests_are_sent_once(flavour: Any, emulator: Emulator, tmp_path: Path) -> None:
    echo(emulator)
    inputs = bodies(3) * 4
    inputs[5] = dict(reversed(inputs[5].items()))
    results = run(flavour, inputs)
    assert texts(flavour, results) == expected(3) * 4
    assert len({item.id for item in results}) == 3 == emulator.bill.total().requests
    assert all(len(item.id) <= 64 for item in results)


def test_the_order_of_a_schemas_properties_makes_another_request(flavour: Any, emulator: Emulator) -> None:
    def body(*names: str) -> dict[str, Any]:
        schema = {"type": "object", "properties": {name: {"type": "string"} for name in names}}
        return {**bodies(1)[0], "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}}

    results = run(flavour, [body("a", "b"), body("b", "a"), body("a", "b")])
    assert [item.id for item in results].count(next(iter(results)).id) == 2


def test_a_second_start_sends_nothing(flavour: Any, emulator: Emulator, tmp_path: Path) -> None:
    echo(emulator)
    run(flavour, bodies(5), checkpoint=tmp_path / "run.sqlite").close()
    emulator.clear()
    assert texts(flavour, run(flavour, bodies(5), checkpoint=tmp_path / "run.sqlite")) == expected(5)
    assert [request.path for request in emulator.requests] == ["/v1/models"][: len(emulator.requests)]


def test_new_inputs_are_added_and_missing_ones_are_an_error(flavour: Any, emulator: Emulator, tmp_path: Path) -> None:
    echo(emulator)
    path = tmp_path / "run.sqlite"
    run(flavour, bodies(5), checkpoint=path).close()
    emulator.bill.clear()
    inputs = bodies(8)
    assert texts(flavour, run(flavour, inputs[5:] + inputs[:5], checkpoint=path)) == expected(8)[5:] + expected(8)[:5]
    assert emulator.bill.total().requests == 3
    with pytest.raises(DatasetError, match=r"missing: request 2 .*Repeat the number 2\."):
        run(flavour, inputs[:2] + inputs[3:], checkpoint=path)
    assert texts(flavour, run(flavour, inputs, checkpoint=path)) == expected(8)


def test_a_file_of_bodies_or_of_lines(flavour: Any, emulator: Emulator, tmp_path: Path) -> None:
    echo(emulator)
    path = tmp_path / "prompts.jsonl"
    first, second = bodies(2)
    path.write_text(json.dumps(first) + "\n\n" + json.dumps({"custom_id": "x", "body": second}) + "\n")
    assert texts(flavour, run(flavour, path)) == expected(2)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([{"messages": []}], "request 0: the body names no model"),
        ({"a": bodies(1)[0]}, "takes an iterable of request bodies, not a mapping: pass requests.values()"),
        (bodies(1)[0], "takes an iterable of request bodies, not a mapping: .* put a single body in a list"),
        ([bodies(1)[0], "text"], "request 1: a request body is an object, not str"),
        ([{"model": MODEL, "x": float("nan")}], "request 0 cannot be written as JSON"),
        ([*bodies(300), {"model": MODEL, "messages": []}], "request 300: `messages` is empty"),
        ([{"model": MODEL, "x": 1}], "request 0 has no `messages`, which /v1/chat/completions wants"),
        ([{"model": MODEL, "prompt": "x"}], "request 0 has `prompt`; .* wants `messages` .*, or pass endpoint='/v1/completions'"),
    ],
)
def test_inputs_that_are_no_requests(flavour: Any, emulator: Emulator, inputs: Any, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        run(flavour, inputs)
    assert emulator.requests == []


def test_a_line_that_is_no_request_is_named_with_its_id(flavour: Any, emulator: Emulator, tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    lines = [{"custom_id": "a-1", "body": bodies(1)[0]}, {"custom_id": "a-2", "body": {"model": MODEL, "messages": []}}]
    path.write_text("\n\n".join(map(json.dumps, lines)))
    with pytest.raises(DatasetError, match=r"^line 3 \(custom_id a-2\) of .*prompts\.jsonl: `messages` is empty"):
        run(flavour, path)
    assert emulator.requests == []


def test_no_inputs(flavour: Any, emulator: Emulator) -> None:
    assert list(run(flavour, [])) == [] == emulator.requests


def test_models_travel_in_files_of_their_own(flavour: Any, emulator: Emulator) -> None:
    echo(emulator)
    inputs = bodies(6, None)
    for number, body in enumerate(inputs):
        body |= {"model": "Qwen/Qwen3.5-9B"} if number % 2 else {}
    assert texts(flavour, run(flavour, inputs, model=MODEL)) == expected(6)
    assert sent(emulator, "POST", "/v1/batches") == 2
    assert {row.model for row in emulator.bill.rows()} == {MODEL, "Qwen/Qwen3.5-9B"}


def test_no_more_jobs_than_allowed(flavour: Any, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    echo(emulator)
    monkeypatch.setattr("together_adapters.bulk.jobs.SHARD_LINES", 3)
    assert texts(flavour, run(flavour, bodies(12), max_jobs=2)) == expected(12)
    events = [(request.method, request.path) for request in emulator.requests]
    running = peak = 0
    for method, path in events:
        running += (method, path) == ("POST", "/v1/batches")
        running -= method == "GET" and path.endswith("/content")
        peak = max(peak, running)
    assert sent(emulator, "POST", "/v1/batches") == 4 and peak == 2


# What fails


def test_lines_that_may_be_mended_are_sent_again(flavour: Any, emulator: Emulator) -> None:
    echo(emulator)
    emulator.inject(Fault("429", path=LINES), Fault("503", path=LINES), Fault("drop", path=LINES))
    assert texts(flavour, run(flavour, bodies(6))) == expected(6)
    assert sent(emulator, "POST", "/v1/batches") == 2
    assert emulator.bill.total().requests == 6


def test_a_line_that_fails_twice_is_named(flavour: Any, emulator: Emulator) -> None:
    echo(emulator)
    emulator.inject(Fault("400", path=LINES, message="no such tool"), Fault("429", path=LINES, times=4))
    results = run(flavour, bodies(4))
    assert sent(emulator, "POST", "/v1/batches") == 2
    assert [item.index for item in results.failed] == [0, 1]
    first, second = (item.error for item in results.failed)
    assert (
        isinstance(first, APIError)
        and first.status_code == 400
        and "request 0: 400" in str(first)
        and "no such tool" in str(first)
    )
    assert isinstance(second, RateLimitError) and vars(second)["request"] == bodies(4)[1]
    assert texts(flavour, results) == [None, None, *expected(4)[2:]]


@pytest.mark.parametrize(("status", "jobs"), [("EXPIRED", 2), ("FAILED", 2)])
def test_what_a_job_has_done_is_kept(flavour: Any, emulator: Emulator, status: Any, jobs: int) -> None:
    echo(emulator)
    emulator.end_batch(status, after=4)
    assert texts(flavour, run(flavour, bodies(6))) == expected(6)
    assert emulator.bill.total().requests == 6 and sent(emulator, "POST", "/v1/batches") == jobs


def test_a_job_that_somebody_cancelled_is_not_started_again(flavour: Any, emulator: Emulator) -> None:
    echo(emulator)
    emulator.end_batch("CANCELLED", after=4)
    results = run(flavour, bodies(6))
    assert texts(flavour, results) == [*expected(4), None, None]
    assert {item.error.code for item in results.failed} == {"cancelled"}
    assert sent(emulator, "POST", "/v1/batches") == 1


def test_jobs_that_fail_twice(flavour: Any, emulator: Emulator) -> None:
    emulator.end_batch("FAILED", message="the model takes no batches", times=2)
    results = run(flavour, bodies(2))
    assert len(results.failed) == 2 and "the model takes no batches" in str(results.failed[0].error)


_REQUESTS = {
    "begin": "/v1/files",
    "content": "/uploads/",
    "finish": "/preprocess",
    "check": "/v1/files/file",
    "create": "/v1/batches",
    "look": "/v1/batches/",
    "download": "/content",
}


@pytest.mark.parametrize("kind", ["500", "429", "drop", "cut", "502-html", "empty-body", "bad-json"])
@pytest.mark.parametrize("place", _REQUESTS)
def test_a_fault_at_any_request(flavour: Any, emulator: Emulator, tmp_path: Path, kind: str, place: str) -> None:
    echo(emulator)
    path = tmp_path / "run.sqlite"
    emulator.inject(Fault(kind, path=_REQUESTS[place], retry_after=0))
    with suppress(TogetherError):  # the next start continues
        run(flavour, bodies(5), checkpoint=path).close()
    results = run(flavour, bodies(5), checkpoint=path)
    assert texts(flavour, results) == expected(5)
    assert emulator.bill.total().requests == 5
    jobs = flavour.run(flavour.client().batches.list())
    assert len(jobs) == 1, "one job for the shard"
    assert emulator.pending_faults == []


@contextmanager
def fault_at_creation(emulator: Emulator, kind: str) -> Iterator[None]:
    """Lets the next request that creates a job fail, and not the list of jobs before it, which has the same path."""
    queue: Any = emulator._state.faults
    original, before, faults = queue.take, sent(emulator, "POST", "/v1/batches"), [Fault(kind)]

    def take(path: str, *arguments: Any) -> Any:
        is_creation = path == "/v1/batches" and sent(emulator, "POST", "/v1/batches") == before + 1
        return faults.pop() if is_creation and faults else original(path, *arguments)

    queue.take = take
    try:
        yield
    finally:
        queue.take = original
    assert faults == []


@pytest.mark.parametrize("kind", ["cut", "bad-json", "empty-body", "500", "drop", "429"])
def test_a_job_whose_creation_is_uncertain_is_looked_for(flavour: Any, emulator: Emulator, kind: str) -> None:
    echo(emulator)
    with fault_at_creation(emulator, kind):
        assert texts(flavour, run(flavour, bodies(5))) == expected(5)
    assert len(flavour.run(flavour.client().batches.list())) == 1 and emulator.bill.total().requests == 5


@pytest.mark.parametrize("kind", ["cut", "500"])
def test_a_job_of_another_run_is_not_taken(flavour: Any, emulator: Emulator, kind: str) -> None:
    """Another run of the same prompts has the same file, but answers of its own."""
    echo(emulator)
    run(flavour, bodies(5)).close()
    with fault_at_creation(emulator, kind):
        assert texts(flavour, run(flavour, bodies(5))) == expected(5)
    assert len(flavour.run(flavour.client().batches.list())) == 2 and emulator.bill.total().requests == 10


@pytest.fixture
def slow_jobs(emulator: Emulator) -> Iterator[None]:
    """Lets jobs take more than a second and a half."""
    before, emulator._state.job_seconds = emulator._state.job_seconds, 8.0
    yield
    emulator._state.job_seconds = before


@pytest.mark.usefixtures("slow_jobs")
def test_a_timeout_leaves_the_job_for_the_next_start(flavour: Any, emulator: Emulator, tmp_path: Path) -> None:
    echo(emulator)
    path = tmp_path / "run.sqlite"
    with pytest.raises(APITimeoutError, match=r"start it again .*run\.sqlite"):
        run(flavour, bodies(5), checkpoint=path, timeout=0.8)
    assert texts(flavour, run(flavour, bodies(5), checkpoint=path)) == expected(5)
    assert sent(emulator, "POST", "/v1/batches") == 1 and emulator.bill.total().requests == 5


@pytest.mark.usefixtures("slow_jobs")
def test_without_a_checkpoint_a_paid_job_is_not_lost(flavour: Any, emulator: Emulator) -> None:
    echo(emulator)
    with pytest.raises(APITimeoutError) as caught:
        run(flavour, bodies(5), timeout=0.8)
    path = Path(caught.value.__notes__[0].split("checkpoint='")[1].rstrip("'"))
    assert texts(flavour, run(flavour, bodies(5), checkpoint=path)) == expected(5)
    assert sent(emulator, "POST", "/v1/batches") == 1


def test_a_temporary_checkpoint_is_removed(flavour: Any, emulator: Emulator, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    results = run(flavour, bodies(1))
    assert results.path is None and len(list(tmp_path.iterdir())) == 1
    results.close()
    assert list(tmp_path.iterdir()) == []


# Checkpoints


def test_two_runs_at_once_on_one_checkpoint(flavour: Any, emulator: Emulator, tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"
    other = Checkpoint(path, "/v1/chat/completions")
    with pytest.raises(ConfigurationError, match=r"another run uses the checkpoint .*run\.sqlite"):
        run(flavour, bodies(1), checkpoint=path)
    other.database.close()
    assert len(run(flavour, bodies(1), checkpoint=path)) == 1


def test_a_checkpoint_of_another_endpoint(flavour: Any, emulator: Emulator, tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"
    run(flavour, bodies(1), checkpoint=path).close()
    with pytest.raises(ConfigurationError, match="with endpoint '/v1/chat/completions', not '/v1/completions'"):
        run(flavour, [{"model": MODEL, "prompt": "x"}], checkpoint=path, endpoint="/v1/completions")


@pytest.mark.parametrize("content", [b"no database at all" * 100, "middle"])
def test_a_damaged_checkpoint(flavour: Any, emulator: Emulator, tmp_path: Path, content: Any) -> None:
    path = tmp_path / "run.sqlite"
    if content == "middle":
        run(flavour, bodies(200), checkpoint=path).close()
        data = bytearray(path.read_bytes())
        data[len(data) // 2 : len(data) // 2 + 8192] = b"\xff" * 8192
        path.write_bytes(data)
        for name in ("-wal", "-shm"):
            Path(f"{path}{name}").unlink(missing_ok=True)
    else:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"run\.sqlite is not a checkpoint, or it is damaged"):
        run(flavour, bodies(200), checkpoint=path)


def test_databases_that_are_no_checkpoints(tmp_path: Path) -> None:
    path = tmp_path / "other.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE notes (text)")
    connection.close()
    with pytest.raises(ConfigurationError, match="a database of another program"):
        Database(path)
    Database(tmp_path / "new.sqlite").close()
    connection = sqlite3.connect(tmp_path / "new.sqlite")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(ConfigurationError, match="written by a newer version"):
        Database(tmp_path / "new.sqlite")
    with pytest.raises(FileNotFoundError):
        Database(tmp_path / "none" / "run.sqlite")
    with pytest.raises(IsADirectoryError):
        Database(tmp_path)


def test_a_full_disk(flavour: Any, emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite gets no more pages than the tables need."""
    echo(emulator)
    path = tmp_path / "run.sqlite"
    original = Database._open

    def small(self: Database, *, read_only: bool) -> sqlite3.Connection:
        connection = original(self, read_only=read_only)
        connection.execute("PRAGMA max_page_count = 1")
        return connection

    with monkeypatch.context() as patch:
        patch.setattr(Database, "_open", small)
        with pytest.raises(OSError, match=r"cannot be read or written.*full.*run\.sqlite"):
            run(flavour, bodies(300), checkpoint=path)
    assert texts(flavour, run(flavour, bodies(300), checkpoint=path)) == expected(300)
    assert emulator.bill.total().requests == 300 and sent(emulator, "POST", "/v1/batches") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="there are no limits to the size of files")
@pytest.mark.parametrize("via", ["batch", "online"])
def test_files_that_cannot_grow(flavour: Any, emulator: Emulator, tmp_path: Path, via: Any) -> None:
    """A file gets no more bytes, as on a full disk: the requests when they are long, the answers when they arrive one by one."""
    import resource

    echo(emulator)
    path = tmp_path / "run.sqlite"
    client = flavour.client(max_retries=0)
    count = 400 if via == "online" else 1200
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (130_000, before[1]))
    try:
        with pytest.raises(OSError, match=r"run\.sqlite-files"):
            flavour.run(bulk_run(client, bodies(count), via=via, checkpoint=path, poll_interval=0.02))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    results = flavour.run(bulk_run(client, bodies(count), via=via, checkpoint=path, poll_interval=0.02))
    assert texts(flavour, results) == expected(count)


# Dollars


def test_max_price_is_checked_before_anything_is_uploaded(flavour: Any, emulator: Emulator, tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"
    with pytest.raises(BudgetExceededError, match=r"^the run may cost 0\.\d{6} dollars: more than max_price=0\.0001"):
        run(flavour, bodies(50), checkpoint=path, max_price=0.0001)
    assert sent(emulator, "POST", "/v1/files") == 0
    assert len(run(flavour, bodies(50), checkpoint=path, max_price=1.0)) == 50
    left = (
        r"^the run has cost 0\.\d{6} dollars, and what is left of it may cost 0\.\d{6} dollars: more than max_price=0\.001 allows"
    )
    with pytest.raises(BudgetExceededError, match=left):
        run(flavour, bodies(1000), checkpoint=path, max_price=0.001)


def test_an_unknown_price_names_the_way(flavour: Any, emulator: Emulator) -> None:
    with pytest.raises(ConfigurationError, match=r"the price of my/model is unknown.*prices="):
        run(flavour, bodies(2, "my/model"), max_price=1.0)
    control = Control(prices={"my/model": {"input": 1.0, "output": 1.0}})
    client = flavour.client(control=control)
    results = run(flavour, bodies(2, "my/model"), max_price=1.0, client=client)
    assert len(results) == 2 and results.cost


def test_the_ledger_has_a_row_for_each_job(flavour: Any, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("together_adapters.bulk.jobs.SHARD_LINES", 4)
    control = Control(budget=1.0)
    client = flavour.client(control=control)
    with control.tag(job="nightly"):
        results = run(flavour, bodies(8), client=client)
    rows = control.ledger.rows()
    bill = emulator.bill.total()
    assert [(row.kind, row.model, row.tags) for row in rows] == [("batch", MODEL, {"job": "nightly"})] * 2
    assert sum(row.input_tokens for row in rows) == bill.input_tokens
    assert sum(row.output_tokens for row in rows) == bill.output_tokens
    assert control.ledger.spent() == pytest.approx(bill.cost) == pytest.approx(results.cost)


def test_a_budget_refuses_the_job(flavour: Any, emulator: Emulator) -> None:
    client = flavour.client(control=Control(budget=0.00001))
    with pytest.raises(BudgetExceededError, match="batch call"):
        run(flavour, bodies(50), client=client)
    assert sent(emulator, "POST", "/v1/files") == 0


def test_settings_that_make_no_sense(flavour: Any, emulator: Emulator) -> None:
    client = flavour.client()
    for options in ({"poll_interval": 0}, {"max_jobs": 0}):
        with pytest.raises(ValueError, match="must be above 0"):
            flavour.run(client.batches.run(bodies(1), **options))
    assert emulator.requests == []


@pytest.mark.parametrize("via", ["batch", "online"])
def test_models_that_are_gone_are_named_before_anything_is_sent(flavour: Any, emulator: Emulator, via: Any) -> None:
    with pytest.warns(ModelRemovedWarning, match=GONE) as warnings:
        flavour.run(bulk_run(flavour.client(), bodies(3, GONE), via=via, poll_interval=0.02))
    assert len(warnings) == 1 and Path(warnings[0].filename).is_relative_to(Path(__file__).parents[1])
    with pytest.raises(ModelRemovedWarning), catch_warnings(action="error"):
        flavour.run(bulk_run(flavour.client(), bodies(4, GONE), via=via, poll_interval=0.02))
    assert sent(emulator, "POST", "/v1/batches") == (via == "batch")
    create = flavour.client().batches.create
    with suppress(APIError), pytest.warns(ModelRemovedWarning, match=GONE):
        flavour.run(create("file-1", model_id=GONE))
