"""On Ray Data, if Ray is installed: a small cluster on this machine, whose actors talk to an emulator."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.conftest import KEY, eventually
from together_adapters import Together
from together_adapters.emulator import Emulator, serve
from together_adapters.emulator.http.behaviour import Behaviour
from together_adapters.emulator.http.faults import Fault

ray = pytest.importorskip("ray")
pytestmark = [pytest.mark.enable_socket, pytest.mark.filterwarnings("ignore")]

EMBEDDER = "BAAI/bge-base-en-v1.5"
CHAT = "openai/gpt-oss-120b"


@pytest.fixture
def client(emulator: Emulator) -> Iterator[Together]:
    with Together(api_key=KEY, base_url=emulator.base_url, max_retries=0) as client:
        yield client


def numbered(count: int, blocks: int) -> Any:
    return ray.data.range(count, override_num_blocks=blocks).map(lambda row: {**row, "text": f"text {row['id']}"})


def workers() -> list[int]:
    """Returns the processes of the actors that embed."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                command = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if command.startswith(b"ray::") and b"EmbeddingColumn" in command:
                found.append(int(folder.name))
    return found


@pytest.mark.slow  # a cluster; test_columns has what runs on it
@pytest.mark.usefixtures("ray_cluster")
def test_embeddings_answers_and_rankings(emulator: Emulator, client: Together) -> None:
    """One job after another on the same rows, with a text that is refused and a request that fails."""
    from together_adapters.bulk.ray import chat, embed, rerank

    rows = [{"id": n, "text": "word " * 5_000 if n == 7 else f"text {n}", "documents": ["snow", f"text {n}"]} for n in range(20)]
    ds = ray.data.from_items(rows, override_num_blocks=4)
    with emulator.behave(embedding_overflow="error"):
        ds = embed(ds, model=EMBEDDER, column="text", into="vector", concurrency=2, client=client).materialize()
    emulator.inject(Fault("500", path="chat"))
    ds = chat(ds, model=CHAT, column="text", params={"max_tokens": 5}, client=client)
    ds = rerank(ds, model="someone/ranker", query_column="text", top_n=1, concurrency=1, client=client)
    done = sorted(ds.take_all(), key=lambda row: row["id"])
    assert [row["id"] for row in done] == list(range(20))
    assert [row["id"] for row in done if row["vector_error"]] == [7]
    assert "context length" in done[7]["vector_error"]
    expected = client.embeddings.create(model=EMBEDDER, input="text 3").data[0].embedding
    assert list(done[3]["vector"]) == pytest.approx(expected, rel=1e-6)
    errors = [row["answer_error"] for row in done if row["answer"] is None]
    assert [error.partition(":")[0] for error in errors] == ["InternalServerError"]
    assert all(row["ranking"][0]["index"] == 1 for row in done if row["id"] != 7)


@pytest.mark.slow
@pytest.mark.usefixtures("ray_cluster")
def test_a_hundred_thousand_texts_with_a_worker_that_dies(tmp_path: Path) -> None:
    """Ray does the block again, of which the finished batches are kept; a second job over the same texts sends nothing."""
    from together_adapters.bulk.ray import embed

    count, killed = 100_000, Counter[str]()
    with (
        serve(keep=0, behaviour=Behaviour(dimensions=True)) as emulator,
        Together(api_key=KEY, base_url=emulator.base_url) as client,
    ):
        ds = numbered(count, 20)
        job = embed(
            ds, model=EMBEDDER, column="text", dimensions=8, concurrency=2, batch_size=1_000, checkpoint=tmp_path, client=client
        )

        def kill() -> None:
            assert eventually(lambda: emulator.bill.total().requests > 200)
            os.kill(workers()[0], signal.SIGKILL)
            killed["worker"] += 1

        thread = Thread(target=kill)
        thread.start()
        ids, errors = set(), 0
        for batch in job.iter_batches(batch_format="pyarrow"):
            ids |= set(batch.column("id").to_pylist())
            errors += len(batch) - batch.column("embedding_error").null_count
            assert batch.column("embedding").null_count == 0
        thread.join()
        first = emulator.bill.total().requests
        again = embed(ds, model=EMBEDDER, column="text", dimensions=8, batch_size=1_000, checkpoint=tmp_path, client=client)
        assert again.count() == count
        sent_again = emulator.bill.total().requests - first
    print(f"{first} requests of {count // 128}, then {sent_again}")
    assert killed["worker"] == 1
    assert (len(ids), errors) == (count, 0)
    assert 8 * 100 < first <= 8 * 100 + 8 * 2  # a batch of 1,000 is 8 requests; the dead worker had at most one or two
    assert sent_again == 0


def test_a_key_of_the_environment_is_not_in_the_job(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    from together_adapters.bulk import ray as bulk_ray

    class Recorder:
        def map_batches(self, kind: Any, **options: Any) -> dict[str, Any]:
            return options

    monkeypatch.setenv("TOGETHER_API_KEY", KEY)
    monkeypatch.setenv("TOGETHER_BASE_URL", emulator.base_url)
    options = bulk_ray.embed(Recorder(), model=EMBEDDER, column="text", concurrency=(1, 3), memory=1_000)
    assert KEY.encode() not in ray.cloudpickle.dumps(options)
    assert (options["num_cpus"], options["memory"], options["batch_format"]) == (0.25, 1_000, "pyarrow")
    assert (options["compute"].min_size, options["compute"].max_size) == (1, 3)
