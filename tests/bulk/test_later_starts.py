"""Starts of a run that has ended, or that was killed between two steps: what failed is sent again, what is done is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.bulk.test_batch_runs import LINES, bodies, echo, expected, run, sent, texts
from together_adapters import Control
from together_adapters.bulk import run as bulk_run
from together_adapters.bulk.checkpoint import Checkpoint
from together_adapters.emulator import Emulator
from together_adapters.emulator.http.faults import Fault


class Killed(BaseException):
    """Ends a run between two steps, as a signal would."""


def test_what_failed_is_sent_again_by_the_next_start(flavour: Any, emulator: Emulator, tmp_path: Path) -> None:
    echo(emulator)
    path = tmp_path / "run.sqlite"
    emulator.inject(Fault("400", path=LINES), Fault("404", path=LINES))
    first = run(flavour, bodies(4), checkpoint=path)
    assert [item.index for item in first.failed] == [0, 1]
    first.close()
    for jobs in (2, 2):
        results = run(flavour, bodies(4), checkpoint=path)
        assert texts(flavour, results) == [None, *expected(4)[1:]], "a request that was refused would be refused again"
        assert sent(emulator, "POST", "/v1/batches") == jobs
        results.close()
    assert emulator.bill.total().requests == 3


def test_a_later_start_has_two_rounds_again(flavour: Any, emulator: Emulator, tmp_path: Path) -> None:
    echo(emulator)
    path = tmp_path / "run.sqlite"
    emulator.inject(Fault("503", path=LINES, times=3))
    assert len(run(flavour, bodies(1), checkpoint=path).failed) == 1
    assert texts(flavour, run(flavour, bodies(1), checkpoint=path)) == expected(1)
    assert sent(emulator, "POST", "/v1/batches") == 4 and emulator.pending_faults == []


@pytest.mark.parametrize("via", ["online", "batch"])
def test_a_run_that_was_killed_sends_nothing_a_third_time(
    flavour: Any, emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, via: Any
) -> None:
    echo(emulator)
    path = tmp_path / "run.sqlite"
    client = flavour.client(max_retries=0)
    place = LINES if via == "batch" else "/v1/chat/completions"
    emulator.inject(Fault("404", path=place))

    def die(self: Checkpoint) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "end", die)
        with pytest.raises(Killed):
            flavour.run(bulk_run(client, bodies(3), via=via, checkpoint=path, poll_interval=0.02, max_concurrency=1))
    results = flavour.run(bulk_run(client, bodies(3), via=via, checkpoint=path, poll_interval=0.02))
    assert texts(flavour, results) == [None, *expected(3)[1:]]
    results.close()
    results = flavour.run(bulk_run(client, bodies(3), via=via, checkpoint=path, poll_interval=0.02))
    assert texts(flavour, results) == expected(3)


def test_a_cancelled_job_is_started_by_a_later_start(flavour: Any, emulator: Emulator, tmp_path: Path) -> None:
    echo(emulator)
    path = tmp_path / "run.sqlite"
    emulator.end_batch("CANCELLED", after=2)
    assert len(run(flavour, bodies(4), checkpoint=path).failed) == 2
    assert texts(flavour, run(flavour, bodies(4), checkpoint=path)) == expected(4)
    assert emulator.bill.total().requests == 4


@pytest.mark.parametrize("moment", ["before the row", "after the row"])
def test_the_row_of_a_job_is_in_the_ledger_once(
    flavour: Any, emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """A run is killed when it has read the answers of a job, before it has noted its cost, or just afterwards."""
    echo(emulator)
    path, ledger = tmp_path / "run.sqlite", tmp_path / "usage.sqlite"

    def start() -> Any:
        control = Control(ledger=ledger)
        try:
            return run(flavour, bodies(3), checkpoint=path, client=flavour.client(control=control))
        finally:
            rows.append([row.request_id for row in control.ledger.rows()])
            control.close()

    rows: list[Any] = []
    with monkeypatch.context() as patch:
        if moment == "before the row":
            patch.setattr(Control, "settle", _die)
        else:
            original = Checkpoint.update
            patch.setattr(
                Checkpoint,
                "update",
                lambda self, shard, **to: _die() if to.get("state") == "read" else original(self, shard, **to),
            )
        with pytest.raises(Killed):
            start()
    assert texts(flavour, start()) == expected(3)
    [job] = flavour.run(flavour.client().batches.list())
    assert rows == [[] if moment == "before the row" else [job.id], [job.id]]
    assert sent(emulator, "POST", "/v1/batches") == 1


def _die(*_: Any) -> Any:
    raise Killed
