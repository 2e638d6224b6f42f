"""Where processes keep what they share: what is refused, what starts anew, and what is not shown."""

from __future__ import annotations

import pickle
import sqlite3
import threading
from pathlib import Path

import pytest

from tests.control.share.conftest import serve_redis
from together_adapters import ConfigurationError, Control
from together_adapters.control.ledger import Ledger
from together_adapters.control.share import stores
from together_adapters.control.share.state import Limits, SharedState
from together_adapters.control.share.stores import SQLiteStore, store_of, transact


def test_no_change_is_lost_among_threads(share: str) -> None:
    each = 40

    def grant(name: str) -> None:
        store = store_of(share)
        for _ in range(each):
            transact(store, lambda state: (state.visit(name, 0), state.admit(name, 1, Limits())))
        store.close()

    threads = [threading.Thread(target=grant, args=(str(number),)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store = store_of(share)
    assert (
        transact(store, lambda state: state.visit("reader", 0) or state.admit("reader", 1, Limits(requests_per_minute=4 * each)))
        > 0
    )
    assert store.read()[1] >= 4 * each
    store.close()


def test_a_write_after_another_one_is_refused(share: str) -> None:
    first, second = store_of(share), store_of(share)
    _, revision, _ = first.read()
    assert second.write(revision, b'{"time": 1.0}')
    assert not first.write(revision, b"{}")
    assert first.read()[1:] == (revision + 1, b'{"time": 1.0}')
    first.close()
    second.close()


def test_what_is_shared_holds_settings_of_a_pickle(share: str) -> None:
    control = Control(share=share, max_concurrency=2)
    copy = pickle.loads(pickle.dumps(control))
    assert repr(copy) == repr(control) == f"Control(max_concurrency=2, share={share!r})"
    turn = control.limiter.turn(1)
    assert turn.wait(None)
    other = copy.limiter.turn(1)
    assert other.wait(None)
    assert not control.limiter.turn(1).wait(control.limiter.clock() + 0.1)
    for each in (turn, other):
        each.release(status=200)
    control.close()
    copy.close()


def test_a_path_may_be_a_path_object(tmp_path: Path) -> None:
    Control(share=tmp_path / "share.sqlite", max_concurrency=1).close()
    assert (tmp_path / "share.sqlite").exists()


@pytest.mark.parametrize(
    ("share", "message"),
    [
        ("missing/share.sqlite", r"share= cannot be used: .*missing/share\.sqlite cannot be read or written: unable to open"),
        (".", "share= cannot be used: .*unable to open"),
        ("text.sqlite", r"share= cannot be used: .*text\.sqlite cannot be read or written: file is not a database"),
        ("ledger.sqlite", r"ledger\.sqlite is a database of something else, not of shared limits: name another file"),
        ("", "share must be the path of a file or a URL such as redis://host:6379, not ''"),
        ("postgres://user:secret-word@host", "share= knows paths and the URLs redis://, .* not postgres://"),
        ("redis://user:secret-word@127.0.0.1:1/0", "share= cannot be used: .*Redis failed: .*127.0.0.1:1"),
        ("redis://:secret-word@127.0.0.1:none", "share= is no URL of Redis: Port could not be cast"),
    ],
)
def test_what_cannot_be_shared_is_an_error_at_once(
    share: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("redis")
    monkeypatch.chdir(tmp_path)
    Path("text.sqlite").write_text("This is a text, and not short enough to be taken for an empty database.\n" * 20)
    ledger = Ledger("ledger.sqlite")
    ledger.total()
    ledger.close()
    with pytest.raises(ConfigurationError, match=message) as caught:
        Control(share=share)
    assert "secret-word" not in str(caught.value)


def test_a_ledger_refuses_the_file_of_shared_limits(tmp_path: Path) -> None:
    path = tmp_path / "both.sqlite"
    with pytest.raises(ConfigurationError, match=r"both\.sqlite is a database of something else"):
        Control(ledger=path, share=path)


def test_another_layout_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "share.sqlite"
    store_of(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(ConfigurationError, match="another version of together-adapters"):
        store_of(path)


def test_passwords_are_not_shown() -> None:
    with serve_redis("--requirepass", "secret-word") as url:
        place = f"unix://:secret-word@{url.removeprefix('unix://')}"
        control = Control(share=place, max_concurrency=1)
        assert "secret-word" not in repr(control)
        assert "secret-word" not in str(control.__dict__["_store"])
        turn = control.limiter.turn(1)
        assert turn.wait(None)
        turn.release(status=200)
        with pytest.raises(
            ConfigurationError, match="share= cannot be used: Redis failed: invalid username-password pair"
        ) as caught:
            Control(share=place.replace("secret-word", "other-word"))
        assert "other-word" not in str(caught.value)
        control.close()


def test_a_name_keeps_groups_apart() -> None:
    with serve_redis() as url:
        groups = [store_of(f"{url}#{name}") for name in ("indexing", "chat", "chat")]

        def ask(state: SharedState) -> float:
            state.visit("a", 0)
            return state.admit("a", 1, Limits(requests_per_minute=1))

        assert [transact(store, ask) > 0 for store in groups] == [False, False, True]
        for store in groups:
            store.close()


def test_without_redis_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("together_adapters._lazy._is_installed", lambda module: False)
    with pytest.raises(ImportError, match=r'share=redis:// needs redis: pip install "together-adapters\[control\]"'):
        Control(share="redis://127.0.0.1:1")


@pytest.mark.parametrize("change", ["deleted", "replaced"])
def test_a_file_that_is_gone_starts_anew_for_all(change: str, tmp_path: Path) -> None:
    path = tmp_path / "share.sqlite"
    first, second = SQLiteStore(path), SQLiteStore(path)
    transact(first, lambda state: state.pause(60))
    assert second.read()[1] == 1
    path.unlink()
    if change == "replaced":
        SQLiteStore(path).read()
    transact(first, lambda state: state.pause(60))
    transact(second, lambda state: state.pause(120))
    assert first.read()[1] == second.read()[1] == 2
    for store in (first, second):
        store.close()


def test_a_locked_file_fails_after_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "_SECONDS", 0.05)
    path = tmp_path / "share.sqlite"
    store = SQLiteStore(path)
    store.read()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    with pytest.raises(OSError, match=r"share\.sqlite cannot be read or written: database is locked"):
        store.read()
    connection.execute("COMMIT")
    connection.close()
    assert store.read()[1] == 0
    store.close()
