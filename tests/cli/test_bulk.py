"""`bulk`: requests and texts of files, interrupted and continued."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import time
from pathlib import Path

import numpy
import pyarrow.parquet
import pytest

from tests.cli.conftest import COMMAND, Run, environment, one_error
from tests.conftest import eventually
from together_adapters.emulator import Emulator, serve
from together_adapters.emulator.http.faults import Fault

MODEL = "openai/gpt-oss-120b"
EMBEDDING = "BAAI/bge-base-en-v1.5"


def write_prompts(folder: Path, count: int = 6) -> None:
    messages = [[{"role": "user", "content": f"Repeat the number {number}."}] for number in range(count)]
    lines = [json.dumps({"model": MODEL, "messages": each, "max_tokens": 20}) + "\n" for each in messages]
    (folder / "prompts.jsonl").write_text("".join(lines), "utf-8")


def answers(path: Path) -> list[str]:
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert [line["index"] for line in lines] == list(range(len(lines)))
    return [line["response"]["choices"][0]["message"]["content"] for line in lines]


@pytest.mark.parametrize("via", ["batch", "online", "auto"])
def test_run(run: Run, emulator: Emulator, tmp_path: Path, via: str) -> None:
    emulator.reply(lambda request: request["messages"][-1]["content"])
    write_prompts(tmp_path)
    arguments = ("bulk", "run", "prompts.jsonl", "-o", "answers.jsonl", "--via", via, "--poll-interval", 0.05)
    result = run(*arguments, "--json")
    report = result.json
    assert report["file_ids"] == [batch["input_file_id"] for batch in run("batches", "list", "--json").json]
    assert (via == "batch") == ("still in the account: file-" in result.err)
    assert answers(tmp_path / "answers.jsonl") == [f"Repeat the number {number}." for number in range(6)]
    assert (report["results"], report["failed"]) == (6, 0)
    assert report["cost"] == pytest.approx(emulator.bill.total().cost)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answers.jsonl", "prompts.jsonl"]
    assert "--overwrite" in one_error(run(*arguments, code=2))


def test_answers_tell_which_request_they_are_for(run: Run, emulator: Emulator, tmp_path: Path) -> None:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}]}
    lines = [{"custom_id": "a-7", "body": body}, body, {"body": body | {"max_tokens": 3}}]
    (tmp_path / "in.jsonl").write_text("\n\n".join(map(json.dumps, lines)), "utf-8")
    options = ("--via", "online", "--max-concurrency", 1, "-o")
    emulator.inject(Fault("400", message="no such tool"))
    run("bulk", "run", "in.jsonl", *options, "out.jsonl", code=3)
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text("utf-8").splitlines()]
    assert [list(row) for row in rows] == [
        ["index", "id", "custom_id", "error"],
        ["index", "id", "request", "error"],
        ["index", "id", "request", "response"],
    ]
    assert (rows[0]["custom_id"], rows[1]["request"], rows[2]["request"]) == ("a-7", body, lines[2]["body"])
    emulator.reply(lambda request: str((tmp_path / "in.jsonl").write_text("{}", "utf-8")))
    assert "in.jsonl cannot be read again, or has changed" in run("bulk", "run", "in.jsonl", *options, "new.jsonl").err
    assert {*json.loads((tmp_path / "new.jsonl").read_text("utf-8").splitlines()[2])} == {"index", "id", "response"}


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_table_with_its_answers(run: Run, emulator: Emulator, tmp_path: Path, suffix: str) -> None:
    emulator.reply(lambda request: request["messages"][-1]["content"].upper())
    (tmp_path / "q.csv").write_text('id,question,answer\n7,"one,\ntwo",x\n8,three,y\n', "utf-8")
    emulator.inject(Fault("400", message="no such tool"))
    options = ("--column", "question", "--system", "Be brief.", "--max-tokens", 9, "--model", MODEL, "--max-concurrency", 1)
    error = run("bulk", "run", "q.csv", "-o", f"a.{suffix}", *options, code=3).err
    assert "has a column 'answer', which is kept: what the run adds is in 'new_answer'" in error and "new_error" not in error
    with (tmp_path / f"a.{suffix}").open(newline="") as file:
        rows = list(csv.DictReader(file)) if suffix == "csv" else [json.loads(line) for line in file]
    assert [row["id"] for row in rows] == ["7", "8"] and rows[0]["question"] == "one,\ntwo" and rows[1]["answer"] == "y"
    assert "no such tool" in rows[0]["error"] and rows[1]["new_answer"] == "THREE"
    body = emulator.requests[-1].json
    assert body["messages"][0] == {"role": "system", "content": "Be brief."} and body["max_tokens"] == 9


def test_what_is_no_table(run: Run, emulator: Emulator, tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_text("id,question\n7,\n", "utf-8")
    options = ("bulk", "run", "q.csv", "--model", MODEL, "-o")
    assert "name the column of prompts by --column; it has 'id', 'question'" in one_error(run(*options, "a.csv", code=2))
    assert "no column 'text', but 'id', 'question'" in one_error(run(*options, "a.csv", "--column", "text", code=2))
    assert "line 2 of q.csv has no text in 'question'" in one_error(run(*options, "a.csv", "--column", "question", code=1))
    assert "must end in .csv or .jsonl" in one_error(run(*options, "a.xlsx", "--column", "question", code=2))
    write_prompts(tmp_path, 1)
    assert "pass --column" in one_error(run("bulk", "run", "prompts.jsonl", "-o", "a.csv", code=2))
    assert emulator.requests == []


def test_failed_requests(run: Run, emulator: Emulator, tmp_path: Path) -> None:
    write_prompts(tmp_path, 3)
    emulator.inject(Fault("400", path="lines of a batch", message="no such tool"))
    result = run("bulk", "run", "prompts.jsonl", "-o", "a.jsonl", "--via", "batch", "--poll-interval", 0.05, code=3)
    assert "1 of 3 requests failed: see `error` in a.jsonl. The first: request 0: 400" in result.err
    assert "no such tool" in result.err and "2 answers (1 failed), " in result.err
    first = json.loads((tmp_path / "a.jsonl").read_text("utf-8").splitlines()[0])
    assert first["error"]["status"] == 400 and "no such tool" in first["error"]["message"]


def test_max_price(run: Run, emulator: Emulator, tmp_path: Path) -> None:
    write_prompts(tmp_path)
    result = run("bulk", "run", "prompts.jsonl", "-o", "a.jsonl", "--via", "batch", "--max-price", 0.000001, code=1)
    assert "more than --max-price 1e-06" in one_error(result)
    assert emulator.bill.total().requests == 0 and [path.name for path in tmp_path.iterdir()] == ["prompts.jsonl"]


def test_the_price_of_a_wrong_name(run: Run, emulator: Emulator, tmp_path: Path) -> None:
    write_prompts(tmp_path)
    arguments = ("bulk", "run", "prompts.jsonl", "-o", "a.jsonl", "--max-price", 1)
    (tmp_path / "prompts.jsonl").write_text((tmp_path / "prompts.jsonl").read_text().replace(MODEL, "openai/gpt-os-120b"))
    error = one_error(run(*arguments, code=2))
    assert "the price of openai/gpt-os-120b (did you mean openai/gpt-oss-120b?) is unknown" in error
    assert "leave out --max-price" in error and "Control" not in error
    assert "more than --max-price 1 allows" in one_error(run(*arguments, "--price", "openai/gpt-os-120b", 1e6, 1e6, code=1))


@pytest.mark.parametrize("options", [(), ("--checkpoint", "run.sqlite")])
@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"messages": []}', "line 2 of p.jsonl: the body names no model"),
        ('{"model": "m", "messages": []}', "line 2 of p.jsonl: `messages` is empty"),
        (
            '{"model": "m", "prompt": "Hello"}',
            "line 2 of p.jsonl has `prompt`; /v1/chat/completions wants `messages` (for a chat of each prompt: --column prompt), or pass --endpoint /v1/completions",
        ),
    ],
)
def test_a_run_that_sends_nothing_leaves_nothing(
    run: Run, emulator: Emulator, tmp_path: Path, options: tuple[str, ...], line: str, message: str
) -> None:
    (tmp_path / "p.jsonl").write_text(f"\n{line}\n", "utf-8")
    assert message in one_error(run("bulk", "run", "p.jsonl", "-o", "a.jsonl", *options, code=1))
    assert emulator.requests == [] and [path.name for path in tmp_path.iterdir()] == ["p.jsonl"]


def test_a_refused_key_leaves_nothing(run: Run, emulator: Emulator, tmp_path: Path) -> None:
    write_prompts(tmp_path, 3)
    (tmp_path / "texts.jsonl").write_text('"a"\n', "utf-8")
    emulator.inject(*["401"] * 4)
    one_error(run("bulk", "run", "prompts.jsonl", "-o", "a.jsonl", "--max-concurrency", 1, code=3))
    one_error(run("bulk", "embed", "texts.jsonl", "-o", "a.npy", code=3))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["prompts.jsonl", "texts.jsonl"]


def test_what_was_done_is_said(run: Run, emulator: Emulator, tmp_path: Path) -> None:
    def send(count: int, *options: object, code: int = 0) -> list[str]:
        write_prompts(tmp_path, count)
        arguments = ("-o", "a.jsonl", "--via", "online", "--checkpoint", "run.sqlite", "--overwrite", *options)
        return run("bulk", "run", "prompts.jsonl", *arguments, code=code).err.splitlines()

    send(2)
    assert send(4, "--max-price", 0, code=1)[0] == "run.sqlite keeps what was done: give the same command again to continue"
    lines = send(5)
    total = emulator.bill.total()
    assert lines == [
        "continuing: 2 of 5 are done",
        f"5 answers (0 failed), {total.input_tokens:,} + {total.output_tokens:,} tokens, ${total.cost:.5f}",
    ]


def test_a_price_that_is_unknown(run: Run, emulator: Emulator, tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"model": "acme/new-7b", "messages": [{"role": "user", "content": "Hi"}]}\n', "utf-8")
    emulator.behave(any_model=True)
    assert run("bulk", "run", "p.jsonl", "-o", "a.jsonl").err.endswith(" tokens, price unknown\n")


@pytest.mark.long
def test_an_interrupted_command_continues(tmp_path: Path) -> None:
    write_prompts(tmp_path, 20)
    command = [*COMMAND, "bulk", "run", "prompts.jsonl", "-o", "answers.jsonl", "--via", "batch", "--poll-interval", "0.05"]
    with serve(job_seconds=20) as emulator:
        emulator.reply(lambda request: request["messages"][-1]["content"])
        settings = environment(emulator.base_url)
        process = subprocess.Popen(command, cwd=tmp_path, env=settings, stderr=subprocess.PIPE, text=True)
        assert eventually(lambda: emulator._state.stores.batches)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        error = process.communicate()[1]
        (id,) = (job.id for job in emulator._state.stores.batches.newest_first())
        assert f"the service goes on with batch job {id}, and charges for it" in error
        assert "answers.jsonl.checkpoint keeps what was done: give the same command again" in error
        assert process.returncode == 130
        status = [*COMMAND, "bulk", "status", "answers.jsonl.checkpoint"]
        text = subprocess.run(status, cwd=tmp_path, env=settings, capture_output=True, text=True, check=True).stdout
        assert "0 of 20 requests are done" in text and f"\njob {id}: not ended when the run last looked" in text
        emulator._state.job_seconds = 0.1
        later = subprocess.run(command, cwd=tmp_path, env=settings, check=True, capture_output=True, text=True)
        assert "continuing: 0 of 20 are done" in later.stderr
        assert len(emulator._state.stores.batches) == 1 and emulator.bill.total().requests == 20
    assert answers(tmp_path / "answers.jsonl") == [f"Repeat the number {number}." for number in range(20)]


def test_embed(run: Run, emulator: Emulator, tmp_path: Path) -> None:
    texts = [f"text {number % 3}" for number in range(7)]
    (tmp_path / "texts.jsonl").write_text("".join(f"{json.dumps(text)}\n" for text in texts), "utf-8")
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"body": text}) + "\n" for text in texts), "utf-8")
    options = ("--model", EMBEDDING, "--checkpoint", "vectors.sqlite")
    assert run("bulk", "embed", "texts.jsonl", "-o", "v.npy", *options, "--json").json["vectors"] == 7
    vectors = numpy.load(tmp_path / "v.npy")
    assert vectors.shape[0] == 7 and vectors.dtype == numpy.float32 and (vectors[0] == vectors[3]).all()
    emulator.clear()
    run("bulk", "embed", "rows.jsonl", "-o", "v.parquet", "--field", "body", *options)
    run("bulk", "embed", "texts.jsonl", "-o", "v.jsonl", *options)
    assert emulator.requests == []
    table = pyarrow.parquet.read_table(tmp_path / "v.parquet")
    assert (numpy.array(table["embedding"].to_pylist(), numpy.float32) == vectors).all()
    lines = [json.loads(line) for line in (tmp_path / "v.jsonl").read_text("utf-8").splitlines()]
    assert (numpy.array([line["embedding"] for line in lines], numpy.float32) == vectors).all()
    assert run("bulk", "status", "vectors.sqlite").out == f"3 vectors of {EMBEDDING}\n"
    assert run("bulk", "status", "vectors.sqlite", "--json").json["total"] == 3
    assert not {"vectors.sqlite-wal", "vectors.sqlite-shm"} & {path.name for path in tmp_path.iterdir()}


def test_wrong_texts(run: Run, emulator: Emulator, tmp_path: Path) -> None:
    (tmp_path / "texts.jsonl").write_text('"a"\n{"body": 1}\n', "utf-8")
    assert "line 2 of texts.jsonl is neither a text nor" in one_error(run("bulk", "embed", "texts.jsonl", "-o", "v.npy", code=1))
    assert "must end in" in run("bulk", "embed", "texts.jsonl", "-o", "v.txt", code=2).err
    (tmp_path / "x.sqlite").write_bytes(b"x" * 5000)
    assert "not a checkpoint" in one_error(run("bulk", "status", "x.sqlite", code=2))
