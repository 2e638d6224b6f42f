"""Jobs from a file to a tuned model, and all reasons to stop before anything is paid."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import HANG, KEY, Flavour
from together_adapters import AsyncTogether, JobFailedError, NotFoundError, Together
from together_adapters.emulator import Emulator, serve
from together_adapters.emulator.http.faults import Fault
from together_adapters.errors import APITimeoutError, BudgetExceededError, InvalidDatasetError, PaymentRequiredError
from together_adapters.finetune import (
    AsyncJob,
    Job,
    MethodMismatchError,
    RemoteValidationError,
    astart,
    check_jsonl,
    start,
    write_jsonl,
)
from together_adapters.types.capabilities import capabilities
from together_adapters.types.progress import Progress

MODEL = "meta-llama/Meta-Llama-3.1-8B-Instruct-Reference"
ROWS = [
    {"messages": [{"role": "user", "content": f"What is the word of gate {n}?"}, {"role": "assistant", "content": f"It is zebra-{n}."}]}
    for n in range(12)
]  # fmt: skip
TOKEN = "ghp_" + "aB3dE6gH9jK2mN5pQ8rS1tU4vW7xY0zA1bC4"

Launch = Callable[..., Any]


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """A separate emulator, since files and jobs stay at a service."""
    with serve(job_seconds=0.2) as running:
        yield running


@pytest.fixture
def launch(flavour: Flavour) -> Launch:
    def run(*files: Any, client: Any = None, **options: Any) -> Any:
        begin = astart if flavour.is_async else start
        return flavour.run(begin(client or flavour.client(), *files, **{"model": MODEL, "poll_interval": 0.02, **options}))

    return run


@pytest.fixture
def train(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "train.jsonl", ROWS)


def write_rows(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def changes(emulator: Emulator) -> list[str]:
    """The requests that change something at the service."""
    return [
        f"{request.method} {request.path}"
        for request in emulator.requests
        if request.method != "GET" and "estimate" not in request.path
    ]


def test_a_tuned_model_knows_its_rows(launch: Launch, flavour: Flavour, tmp_path: Path) -> None:
    prepared = write_jsonl(ROWS, tmp_path / "train.jsonl")
    steps: list[Progress] = []
    job = launch(prepared, suffix="gates", progress=steps.append)
    assert isinstance(job, AsyncJob if flavour.is_async else Job)
    assert job.id.startswith("ft-")
    assert job.price_estimate is not None and job.price_estimate.available
    assert job.reports["train"].valid == len(ROWS) and job.differences == {"train": []}
    assert {"check", "upload"} <= {step.stage for step in steps}
    updates: list[Progress] = []
    done = flavour.run(job.wait(poll_interval=0.02, timeout=HANG, progress=updates.append))
    assert done is job and job.status == "completed" and "gates" in job.model
    assert updates[-1].fraction == 1
    assert job.price_estimate is not None, "looking at a job forgets what it was to cost"
    question = {"messages": [{"role": "user", "content": "What is the word of gate 7?"}]}
    answers = [flavour.run(flavour.client().chat.completions.create(model=model, **question)) for model in (job.model, MODEL)]
    assert "zebra-7" in answers[0].choices[0].message.content
    assert "zebra-7" not in answers[1].choices[0].message.content


def test_the_tuned_model_in_langchain(launch: Launch, flavour: Flavour, train: Path) -> None:
    pytest.importorskip("langchain_core")
    job = flavour.run(launch(train).wait(poll_interval=0.02))
    model = job.chat_model(temperature=0)
    assert model.temperature == 0
    question = model.ainvoke if flavour.is_async else model.invoke
    assert "zebra-3" in flavour.run(question("What is the word of gate 3?")).content


def test_the_tuned_model_in_llama_index(launch: Launch, flavour: Flavour, train: Path) -> None:
    pytest.importorskip("llama_index.core")
    base = "meta-llama/Llama-3.2-3B-Instruct"
    job = flavour.run(launch(train, model=base).wait(poll_interval=0.02))
    llm = job.llama_llm(temperature=0)
    question = llm.acomplete if flavour.is_async else llm.complete
    assert "zebra-3" in flavour.run(question("What is the word of gate 3?")).text
    assert llm.metadata.context_window == capabilities(base).context_length != capabilities(MODEL).context_length


def test_a_job_without_a_model_so_far(launch: Launch, flavour: Flavour, train: Path) -> None:
    job = launch(train, suffix="[slow]")
    for hand_over in (job.chat_model, job.llama_llm):
        with pytest.raises(JobFailedError, match=r"no tuned model yet.*wait"):
            hand_over()
    with pytest.raises(APITimeoutError, match="continues"):
        flavour.run(job.wait(poll_interval=0.02, timeout=0.1))


def test_a_job_is_found_again_by_its_id(launch: Launch, flavour: Flavour, train: Path) -> None:
    client = flavour.client()
    first_job = launch(train, client=client, suffix="[slow]")
    job = (AsyncJob if flavour.is_async else Job)(client, first_job.id)
    assert job.status is None
    assert flavour.run(job.refresh()).status == first_job.status or job.status
    assert flavour.run(job.events()).data
    assert (flavour.run(job.cancel()).status or "").startswith("cancel")
    with pytest.raises(JobFailedError) as error:
        flavour.run(job.wait(poll_interval=0.02, timeout=HANG))
    assert job.status == "cancelled" and error.value.events
    assert KEY not in repr(job)
    unknown = (AsyncJob if flavour.is_async else Job)(client, "ft-none")
    with pytest.raises(NotFoundError):
        flavour.run(unknown.refresh())


def test_a_job_by_its_id_is_retrieved_for_its_model(launch: Launch, flavour: Flavour, train: Path) -> None:
    pytest.importorskip("langchain_core")
    client = flavour.client()
    first_job = flavour.run(launch(train, client=client).wait(poll_interval=0.02))
    job = (AsyncJob if flavour.is_async else Job)(client, first_job.id)
    if flavour.is_async:
        with pytest.raises(JobFailedError, match=r"not retrieved yet: `await job\.refresh\(\)`"):
            job.chat_model()
        flavour.run(job.refresh())
    assert job.chat_model().model_name == job.model == first_job.model


def test_a_model_is_not_the_id_of_a_job(flavour: Flavour) -> None:
    client = flavour.client()
    job = (AsyncJob if flavour.is_async else Job)(client, "acme/tuned")
    for action in (job.wait, job.refresh, job.events):
        with pytest.raises(ValueError, match="'acme/tuned' is the name of a model; the id of a job begins with ft-"):
            flavour.run(action())


def test_a_failed_job_has_its_last_events(launch: Launch, flavour: Flavour, train: Path) -> None:
    job = launch(train, suffix="[fail]")
    with pytest.raises(JobFailedError) as error:
        flavour.run(job.wait(poll_interval=0.02))
    assert error.value.events and job.status == "error"


def test_a_validation_file_that_is_not_used_is_checked_alone(
    launch: Launch, train: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    job = launch(train, write_rows(tmp_path / "validation.jsonl", ROWS[:3]))
    assert not job.details.validation_file and job.reports["validation"].leakage
    assert [record.message for record in caplog.records].count(
        "validation_file= is not used, since n_evals=0: pass the number of evaluations"
    ) == 1


def test_a_validation_file_is_evaluated(launch: Launch, flavour: Flavour, train: Path, tmp_path: Path) -> None:
    job = launch(train, write_rows(tmp_path / "validation.jsonl", ROWS[:3]), n_evals=2)
    assert job.reports.keys() == job.differences.keys() == {"train", "validation"}
    assert job.details.validation_file and job.details.validation_file != job.details.training_file
    assert job.details.n_evals == 2


def test_an_uploaded_file_is_not_uploaded_again(launch: Launch, emulator: Emulator, train: Path) -> None:
    first, second = launch(train), launch(train)
    assert first.details.training_file == second.details.training_file
    assert sum(request.method == "PUT" for request in emulator.requests) == 1


def test_issues_are_reported_before_anything_is_uploaded(launch: Launch, emulator: Emulator, tmp_path: Path) -> None:
    bad = write_rows(tmp_path / "bad.jsonl", [*ROWS, {"messages": [{"role": "user", "content": "alone"}]}])
    with pytest.raises(InvalidDatasetError, match=r"bad.jsonl was not uploaded(.|\n)*line 13") as error:
        launch(bad)
    assert error.value.report.issue_counts
    assert not changes(emulator)


def test_data_of_another_method(launch: Launch, emulator: Emulator, train: Path) -> None:
    with pytest.raises(InvalidDatasetError, match="dpo"):
        launch(train, method="dpo")
    assert not changes(emulator)


def test_rows_that_the_model_does_not_support(launch: Launch, emulator: Emulator, tmp_path: Path) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="}}  # fmt: skip
    row = {
        "messages": [
            {"role": "user", "content": [picture, {"type": "text", "text": "What is it?"}]},
            {"role": "assistant", "content": [{"type": "text", "text": "A dot."}]},
        ]
    }
    with pytest.raises(InvalidDatasetError, match="images"):
        launch(write_rows(tmp_path / "seen.jsonl", [row]))
    assert not changes(emulator)


@pytest.mark.parametrize("option", [{"n_epochs": 10_000}, {"suffix": "x" * 41}, {"lora_r": 4_096}, {"model": None}])
def test_arguments_are_validated_before_anything_is_uploaded(
    launch: Launch, emulator: Emulator, train: Path, option: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=next(iter(option))):
        launch(train, **option)
    assert not changes(emulator)


def test_secrets_are_not_uploaded(launch: Launch, emulator: Emulator, tmp_path: Path) -> None:
    row = {"messages": [{"role": "user", "content": f"My token is {TOKEN}"}, {"role": "assistant", "content": "Keep it."}]}
    leaky = write_rows(tmp_path / "leaky.jsonl", [*ROWS, row])
    with pytest.raises(InvalidDatasetError, match="allow_secrets") as error:
        launch(leaky)
    assert TOKEN not in str(error.value) + error.value.report.model_dump_json()
    assert not changes(emulator)
    assert launch(leaky, allow_secrets=True).id


def test_leakage_is_reported_before_anything_is_uploaded(launch: Launch, emulator: Emulator, train: Path, tmp_path: Path) -> None:
    question = {"messages": [ROWS[1]["messages"][0], {"role": "assistant", "content": "Nobody knows."}]}
    validation = write_rows(
        tmp_path / "measured.jsonl",
        [ROWS[0], question, {"messages": [{"role": "user", "content": "New?"}, *question["messages"][1:]]}],
    )
    updates: list[Any] = []

    def on_reports(reports: dict[str, Any]) -> None:
        assert not changes(emulator)
        updates.append(reports)

    job = launch(train, validation, n_evals=1, on_reports=on_reports)
    report = job.reports["validation"]
    assert updates == [job.reports]
    assert report.leakage == {"exact": 1, "prompt": 2}
    assert [(issue.code, issue.line, issue.severity) for issue in report.issues] == [
        ("leaked_row", 1, "warning"),
        ("leaked_prompt", 2, "warning"),
    ]
    assert "The training file has 1 of its rows and 2 of its prompts." in report.summary()
    assert "train.jsonl" in report.summary()
    assert job.reports["train"].leakage == {}
    count = len(changes(emulator))
    with pytest.raises(
        InvalidDatasetError, match=r"measured.jsonl was not uploaded(.|\n)*line 1: the row is also in train.jsonl"
    ):
        launch(train, validation, n_evals=1, severities={"leaked_row": "error"})
    with pytest.raises(RuntimeError, match="stop"):
        launch(train, validation, n_evals=1, on_reports=stop)
    assert len(changes(emulator)) == count


def stop(_: Any) -> None:
    raise RuntimeError("stop")


def file_names(flavour: Flavour) -> list[Any]:
    return [file.filename for file in flavour.run(flavour.client().files.list()).data]


def test_a_refused_job_names_what_was_uploaded(launch: Launch, flavour: Flavour, emulator: Emulator, train: Path) -> None:
    def refuse(_: Any) -> None:
        emulator.inject(Fault("402", path="/v1/fine-tunes"))

    with pytest.raises(PaymentRequiredError) as error:
        launch(train, on_price=refuse)
    assert file_names(flavour) == ["train.jsonl"]
    assert re.match(r"train.jsonl stays in the account as file-.*client.files.delete\('file-", error.value.__notes__[0])


def test_a_price_that_is_too_high(launch: Launch, flavour: Flavour, emulator: Emulator, train: Path) -> None:
    with pytest.raises(BudgetExceededError, match=r"max_price=1e-09; it was not started"):
        launch(train, max_price=1e-9)
    assert "POST /v1/fine-tunes" not in changes(emulator)
    with pytest.raises(RuntimeError, match="stop"):
        launch(train, on_price=stop)
    assert file_names(flavour) == []
    id = flavour.run(flavour.client().files.upload(train)).id
    with pytest.raises(RuntimeError, match="stop"):
        launch(train, on_price=stop)
    assert file_names(flavour) == ["train.jsonl"]  # of the user
    flavour.run(flavour.client().files.delete(id))
    estimates: list[Any] = []
    assert launch(train, max_price=1_000, on_price=estimates.append).id
    assert estimates[0].estimated_total_price < 1_000


def test_errors_that_only_the_service_finds(launch: Launch, flavour: Flavour, tmp_path: Path) -> None:
    doubtful = write_rows(tmp_path / "doubtful.jsonl", [{"messages": ROWS[0]["messages"][1:]}])
    with pytest.raises(RemoteValidationError) as error:
        launch(doubtful, severities={"leading_assistant": "ignore"})
    assert error.value.remote.valid is False
    assert error.value.local_report.ok
    assert file_names(flavour) == []


def test_the_signatures_show_every_parameter() -> None:
    for begin, kind in ((start, "Job"), (astart, "AsyncJob")):
        signature = inspect.signature(begin)
        assert {"client", "train", "validation", "model", "method", "n_epochs", "learning_rate"} <= signature.parameters.keys()
        assert signature.return_annotation == kind
        assert "Raises:" in (begin.__doc__ or "")
    client_params = set(inspect.signature(Together(api_key="k").fine_tuning.create).parameters)
    job_params = set(inspect.signature(start).parameters) - {
        "client", "train", "validation", "method", "severities", "allow_secrets", "max_price", "on_reports", "progress", "poll_interval",
    }  # fmt: skip
    assert job_params <= client_params
    other_params = client_params - job_params
    assert other_params == {"training_file", "validation_file", "training_method", "model_limits", "verbose"}
    assert AsyncTogether.__name__


@pytest.mark.parametrize(("rows", "method", "kind"), [("chats", "dpo", "conversations"), ("pairs", "sft", "preferences")])
def test_a_method_that_does_not_fit_says_why(
    rows: str, method: str, kind: str, launch: Launch, emulator: Emulator, tmp_path: Path
) -> None:
    answer = {"role": "assistant", "content": "a"}
    question = [{"role": "user", "content": "q"}]
    pair = {"input": {"messages": question}, "preferred_output": [answer], "non_preferred_output": [{**answer, "content": "b"}]}
    row = pair if rows == "pairs" else {"messages": [*question, answer]}
    path = write_rows(tmp_path / "rows.jsonl", [row])
    with pytest.raises(
        MethodMismatchError, match=f"rows.jsonl was not uploaded: .* the rows are {kind}, and {method} trains"
    ) as caught:
        launch(path, method=method)
    fitting = re.search(r"method='(\w+)' fits", str(caught.value))
    assert fitting and check_jsonl(path, method=fitting[1]).method_ok
    assert changes(emulator) == []
    with pytest.raises(MethodMismatchError, match=kind):
        check_jsonl(path, method=method).raise_for_issues()


def test_the_other_flavour_is_refused(flavour: Flavour, train: Path) -> None:
    client: Any = flavour.client()
    with pytest.raises(TypeError, match="takes an AsyncTogether" if flavour.is_async else r"start\(...\) takes a Together"):
        begin: Any = start if flavour.is_async else astart
        result = begin(client, train, model=MODEL)
        asyncio.run(result)
