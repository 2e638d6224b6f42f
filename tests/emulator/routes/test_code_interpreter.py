"""The code interpreter: it runs code only where that is allowed, without the environment of the emulator, with a time limit."""

from __future__ import annotations

import base64
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import HANG
from together_adapters.emulator import Emulator, serve
from together_adapters.emulator.store import interpreter_session


@pytest.fixture(scope="module")
def allowed() -> Iterator[Emulator]:
    with serve(allow_code_execution=True) as emulator:
        yield emulator
        assert emulator.errors == []


@pytest.fixture
def code(allowed: Emulator) -> Iterator[httpx.Client]:
    with client_of(allowed) as client:
        yield client


def client_of(emulator: Emulator) -> httpx.Client:
    headers = {"authorization": f"Bearer {emulator.api_key}"}
    return httpx.Client(base_url=emulator.base_url, headers=headers, timeout=HANG, verify=False)


def run(http: httpx.Client, code: str, **more: Any) -> Any:
    answer = http.post("/tci/execute", json={"code": code, "language": "python", **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


def outputs(http: httpx.Client, code: str, **more: Any) -> list[tuple[str, Any]]:
    data = run(http, code, **more)["data"]
    assert data["status"] == "success"
    return [(output["type"], output["data"]) for output in data["outputs"]]


def test_code_does_not_run_without_permission(http: httpx.Client, tmp_path: Path) -> None:
    answer = run(http, f"open({str(tmp_path / 'x')!r}, 'w')")
    assert answer["data"]["session_id"]
    assert [output["type"] for output in answer["data"]["outputs"]] == ["error"]
    assert "--allow-code-execution" in answer["data"]["outputs"][0]["data"]
    assert list(tmp_path.iterdir()) == []


def test_outputs_in_order(code: httpx.Client) -> None:
    text = "import sys\nprint('a'); print('b')\nprint('c', file=sys.stderr)\nprint('d')\n40 + 2"
    assert outputs(code, text) == [
        ("stdout", "a\nb\n"),
        ("stderr", "c\n"),
        ("stdout", "d\n"),
        ("execute_result", {"text/plain": "42"}),
    ]
    assert outputs(code, "x = 1") == outputs(code, "None") == outputs(code, "# nothing") == []


def test_an_exception_is_an_output(code: httpx.Client) -> None:
    (first, second) = outputs(code, "print('before')\n1 / 0")
    assert first == ("stdout", "before\n")
    assert second[0] == "error"
    assert second[1].startswith('Traceback (most recent call last):\n  File "<code>", line 2')
    assert second[1].endswith("ZeroDivisionError: division by zero\n")


@pytest.mark.parametrize(
    "text",
    [
        "1 +",
        "exit()",
        "raise KeyboardInterrupt",
        "input()",
        "def f(): f()\nf()",
        "'\\ud800'.encode()",
        "(" * 5_000,
        "print('\\ud800'); 1 / 0",
    ],
)
def test_code_that_fails(text: str, code: httpx.Client) -> None:
    import json

    answer = code.post(
        "/tci/execute", content=json.dumps({"code": text, "language": "python"}), headers={"content-type": "application/json"}
    )
    assert answer.json()["data"]["outputs"][-1]["type"] == "error"


def test_a_session_keeps_variables_and_files(code: httpx.Client) -> None:
    files = [
        {"name": "a.txt", "encoding": "string", "content": "hi"},
        {"name": "b.bin", "encoding": "base64", "content": base64.b64encode(b"\0\1").decode()},
    ]
    id = run(code, "x = 20", files=files)["data"]["session_id"]
    assert outputs(code, "x += 1; print(x, open('a.txt').read(), open('b.bin', 'rb').read())", session_id=id) == [
        ("stdout", "21 hi b'\\x00\\x01'\n")
    ]
    assert outputs(code, "'x' in globals()") == [("execute_result", {"text/plain": "False"})]
    (session_list,) = [one for one in code.get("/tci/sessions").json()["data"]["sessions"] if one["id"] == id]
    assert session_list["execute_count"] == 2
    assert session_list["started_at"] < session_list["last_execute_at"] < session_list["expires_at"]


def test_an_unknown_session(code: httpx.Client) -> None:
    answer = run(code, "1", session_id="ses_nothing")
    assert answer["data"] is None
    assert "expired" in answer["errors"][0]


def test_rich_representations(code: httpx.Client) -> None:
    text = "class T:\n def _repr_html_(self): return '<b>'\n def _repr_png_(self): return b'png'\n def __repr__(self): return 'T'\ndisplay(T())\nT()"
    displayed = {"text/plain": "T", "text/html": "<b>", "image/png": base64.b64encode(b"png").decode()}
    assert outputs(code, text) == [("display_data", displayed), ("execute_result", displayed)]


def test_code_cannot_read_the_environment(code: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOGETHER_API_KEY", "sk-secret")
    assert "secret" not in str(outputs(code, "import os; print(dict(os.environ), os.getcwd())"))


def test_time_limit(code: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreter_session, "TIME_LIMIT", 1.0)
    answer = run(code, "import time\nwhile True: time.sleep(1)")
    assert answer["data"]["outputs"][0]["type"] == "error"
    assert run(code, "1", session_id=answer["data"]["session_id"])["errors"]
    assert run(code, "import os; os._exit(3)")["data"]["outputs"][0]["type"] == "error"


def test_output_is_bounded(code: httpx.Client) -> None:
    assert sum(len(data) for _, data in outputs(code, "for _ in range(30): print('x' * 100_000)")) == 1_000_000


WRONG: dict[str, list[Any]] = {
    "code": [None, "", 5], "language": [None, "r", 5], "session_id": [5, ""],
    "files": [5, [5], [{}], [{"name": "../a", "encoding": "string", "content": "x"}], [{"name": "/etc/x", "encoding": "string", "content": "x"}],
              [{"name": "..", "encoding": "string", "content": "x"}], [{"name": "a\0", "encoding": "string", "content": "x"}], [{"name": "a", "encoding": "string", "content": 5}],
              [{"name": "a", "encoding": "base64", "content": "*"}], [{"name": "a", "encoding": [], "content": "x"}], [{"name": "x" * 300, "encoding": "string", "content": ""}]],
}  # fmt: skip


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_errors_name_the_parameter(name: str, value: Any, code: httpx.Client) -> None:
    answer = code.post("/tci/execute", json={"code": "1", "language": "python", name: value})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, name)


def test_the_path_of_the_old_sdk(code: httpx.Client, allowed: Emulator) -> None:
    answer = code.post(f"{allowed.base_url}//tci/execute", json={"code": "1", "language": "python"})
    assert answer.json()["data"]["outputs"] == [{"type": "execute_result", "data": {"text/plain": "1"}}]


def test_other_hosts_cannot_run_code() -> None:
    with pytest.raises(ValueError, match=r"0\.0\.0\.0 is not"):
        serve(host="0.0.0.0", allow_code_execution=True).__enter__()
    done = subprocess.run(
        [sys.executable, "-m", "together_adapters.emulator", "--host", "0.0.0.0", "--allow-code-execution"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, "only allowed on loopback" in done.stderr) == (2, True)


def test_processes_end_with_the_emulator() -> None:
    with serve(allow_code_execution=True) as emulator, client_of(emulator) as http:
        folder, process = outputs(http, "import os; print(os.getcwd(), os.getpid())")[0][1].split()
        assert Path(folder).is_dir()
    assert not Path(folder).exists()
    assert not Path(f"/proc/{process}").exists()


def test_a_random_key_is_demanded(allowed: Emulator) -> None:
    with serve(allow_code_execution=True) as other:
        assert len(other.api_key) > 20
        assert other.api_key != allowed.api_key
        for key, status in ((other.api_key, 200), (allowed.api_key, 401), ("k-123", 401), ("ключ", 401)):
            headers = {"authorization": f"Bearer {key}".encode()}
            answer = httpx.post(
                f"{other.base_url}/tci/execute", json={"code": "1", "language": "python"}, headers=headers, verify=False
            )
            assert answer.status_code == status
            assert other.api_key not in answer.text
        assert httpx.get(f"{other.base_url}/models", headers={"authorization": "Bearer any"}, verify=False).status_code == 401
        assert other.api_key not in repr(other.requests) + repr(other._state)
    with serve() as anyone, serve(allow_code_execution=True, api_key="mine") as mine:
        assert (anyone.api_key, mine.api_key) == ("any", "mine")


def test_what_is_displayed_is_bounded(code: httpx.Client) -> None:
    shown = outputs(code, "for _ in range(30): display('x' * 1_000_000)")
    assert sum(len(data["text/plain"]) for _, data in shown) <= 20_000_000
