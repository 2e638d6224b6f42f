"""`models`: the list, what is known of one, the check of files, and uploads."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.cli.conftest import MODEL, Run, one_error
from together_adapters.cli.text_files import MAX_BYTES
from together_adapters.emulator import Emulator
from together_adapters.types.capabilities import DEFAULT_SMALL_MODEL, MODELS, TABLE_DATE

GONE = next(name for name, entry in MODELS.items() if entry.is_removed and entry.type == "chat")
OFFLINE = {"TOGETHER_API_KEY": "", "TOGETHER_BASE_URL": "http://127.0.0.1:9"}


def test_models(run: Run, emulator: Emulator) -> None:
    table = run("models", "list").out.splitlines()
    assert table[0].split()[:2] == ["ID", "Type"]
    assert any(line.startswith(MODEL) for line in table)
    all_models, dedicated_models = (
        run("models", "list", "--json").json,
        run("models", "list", "--type", "dedicated", "--json").json,
    )
    assert MODEL in {model["id"] for model in all_models}
    assert len(dedicated_models) <= len(all_models)
    token = "hf_secrettoken123456"
    options = ("models", "upload", "--model-name", "mine", "--model-source", "me/model", "--hf-token", token)
    started = run(*options)
    assert json.loads(started.out)["job_id"]
    assert run(*options, "--json").json["job_id"]
    emulator.inject("401")
    assert token not in one_error(run(*options, code=3))


class OddCatalogue(BaseHTTPRequestHandler):
    """A server whose catalogue has entries that are no models."""

    def do_GET(self) -> None:
        odd = [None, {"id": 7, "pricing": "free", "type": ["x"]}, {"id": MODEL, "context_length": "long"}]
        body = json.dumps([*odd, {"id": "acme/ear", "type": "transcribe"}, {"id": "acme/voice", "type": "audio"}]).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Logs nothing."""


def test_odd_entries_of_the_catalogue_are_listed(run: Run) -> None:
    with HTTPServer(("127.0.0.1", 0), OddCatalogue) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = {"TOGETHER_BASE_URL": f"http://127.0.0.1:{server.server_port}"}
        assert {7, MODEL} <= {row.get("id") for row in run("models", "list", "--json", **url).json}
        assert MODEL in run("models", "list", **url).out
        for kind in ("audio", "transcribe"):
            rows = run("models", "list", "--type", kind, "--json", **url).json
            assert [row["id"] for row in rows] == ["acme/ear", "acme/voice"]
        server.shutdown()


@pytest.mark.parametrize("options", [[], ["--table"]])
def test_a_list_has_the_status_of_every_model(run: Run, options: list[str]) -> None:
    models = {model["id"]: model for model in run("models", "list", *options, "--json").json}
    assert models[MODEL]["status"] == f"served {MODELS[MODEL].served_on}"
    assert models[MODEL]["context_length"] == MODELS[MODEL].context_length
    assert all(model["status"] == "unknown" or name in MODELS for name, model in models.items())
    if options:
        assert models.keys() == MODELS.keys()
        assert (models[GONE]["status"], models[GONE]["removed_on"]) == (
            f"gone since {MODELS[GONE].removed_on}",
            MODELS[GONE].removed_on,
        )
        assert models[MODEL]["pricing"]["input"] == MODELS[MODEL].prices.input
    abilities = [word for word in ("tools", "json", "reasoning") if word in models[MODEL]["abilities"]]
    facts = MODELS[MODEL]
    assert abilities == [
        word
        for word, can in zip(("tools", "json", "reasoning"), (facts.tools, facts.json_schema, facts.reasoning), strict=True)
        if can
    ]
    lines = run("models", "list", *options).out.splitlines()
    line = next(line for line in lines if line.startswith(f"{MODEL} "))
    context = facts.context_length or 0
    assert (f"{context:,}" if context < 1_000_000 else f"{context / 1_000_000:.2f}M") in line
    assert " ".join(models[MODEL]["abilities"]) in line and "  yes  " in line
    assert "Context, tokens" in lines[0] and "$/1M in/out" in lines[0]
    assert lines[0].split()[-1] == "Status"
    assert len(lines) == len(models) + 1


@pytest.mark.parametrize("options", [[], ["--table"]])
@pytest.mark.parametrize("kind", ["chat", "language"])
def test_a_list_of_one_type(run: Run, kind: str, options: list[str]) -> None:
    models = run("models", "list", "--type", kind, *options, "--json").json
    assert models
    assert {model["type"] for model in models} == {kind}


def test_the_table_needs_no_key_and_no_network(run: Run) -> None:
    assert MODEL in run("models", "list", "--table", **OFFLINE).out
    assert run("models", "show", MODEL, "--json", **OFFLINE).json["source"] == f"table {TABLE_DATE}"
    assert run("models", "check", **OFFLINE).out.startswith("0 files: 0 gone")
    assert "TOGETHER_API_KEY" in one_error(run("models", "list", code=2, **OFFLINE))
    assert "dedicated" in one_error(run("models", "list", "--table", "--type", "dedicated", code=2, **OFFLINE))


def test_show_is_live_where_the_service_answers(run: Run, emulator: Emulator) -> None:
    facts = run("models", "show", MODEL.lower(), "--json").json
    assert (facts["name"], facts["source"], facts["type"]) == (MODEL, "service", "chat")
    assert facts["status"] == f"served {MODELS[MODEL].served_on}"
    assert facts["sources"] == list(MODELS[MODEL].sources)
    assert facts["read_on"] == MODELS[MODEL].read_on
    assert "alternatives" not in facts
    assert json.loads(run("models", "show", MODEL).out) == facts
    emulator.inject("401")
    refused = run("models", "show", MODEL, "--json")
    assert refused.json["source"] == f"table {TABLE_DATE}"
    assert refused.json["prices"]["input"] == MODELS[MODEL].prices.input
    assert "the table alone is shown" in refused.err


def test_show_names_what_is_left_of_a_model_that_is_gone(run: Run) -> None:
    facts = run("models", "show", GONE, "--json", **OFFLINE).json
    assert facts["status"] == f"gone since {MODELS[GONE].removed_on}"
    assert facts["alternatives"]
    assert all(name in facts["advice"] and MODELS[name].is_served for name in facts["alternatives"])


def test_show_follows_an_alias(run: Run) -> None:
    alias = next(name for name, entry in MODELS.items() if entry.alias_of)
    facts = run("models", "show", alias, "--json", **OFFLINE).json
    assert (facts["name"], facts["alias_of"]) == (alias, MODELS[alias].alias_of)
    assert facts["context_length"] == MODELS[MODELS[alias].alias_of or ""].context_length


def test_show_says_only_what_somebody_says(run: Run) -> None:
    silent = next(
        name for name, entry in MODELS.items() if entry.prices.input is None and entry.type == "chat" and not entry.alias_of
    )
    facts = run("models", "show", silent, "--json", **OFFLINE).json
    assert "prices" not in facts
    assert "max_documents" not in facts


@pytest.mark.parametrize("changes", [{}, OFFLINE])
def test_show_of_an_unknown_model_names_similar_ones(run: Run, changes: dict[str, str]) -> None:
    error = one_error(run("models", "show", "qwen/qwen3.5-9", code=2, **changes))
    assert DEFAULT_SMALL_MODEL in error
    assert ("catalogue" in error) == (not changes)
    assert "models list" in one_error(run("models", "show", "zzzz", code=2, **changes))


@pytest.fixture
def project(tmp_path: Path) -> Callable[[dict[str, str | bytes]], None]:
    """Writes files, by name."""

    def write(files: dict[str, str | bytes]) -> None:
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())

    return write


def checked(run: Run, *arguments: str, code: int = 0) -> dict[str, Any]:
    report = json.loads(run("models", "check", *arguments, "--json", code=code, **OFFLINE).out)
    assert isinstance(report, dict)
    return report


def places(report: dict[str, Any]) -> list[str]:
    return [f"{mention['file']}:{mention['line']}" for mention in report["mentions"]]


def test_check_names_file_line_date_and_what_is_served_instead(run: Run, project: Any) -> None:
    project({"src/app.py": f'\nllm = Chat("{GONE}")\n', "a.yaml": f"model: acme/new-7b\nsmall: {MODEL}\n"})
    result = run("models", "check", code=1, **OFFLINE)
    unknown, gone, totals = result.out.splitlines()
    place = os.path.join("src", "app.py")
    assert gone.startswith(f"{place}:2: {GONE} is gone since {MODELS[GONE].removed_on}; served instead: ")
    assert unknown.startswith("a.yaml:1: acme/new-7b is unknown")
    assert totals == f"2 files: 1 gone, 1 unknown, 1 fine (table of {TABLE_DATE}; other names count behind model= and the like)"
    assert f"a.yaml:2: {MODEL} is fine" in run("models", "check", "--all", code=1, **OFFLINE).out
    assert run("models", "check", "--quiet", code=1, **OFFLINE).out.splitlines() == [gone, totals]
    report = checked(run, code=1)
    assert (report["gone"], report["unknown"], report["fine"], report["files"]) == (1, 1, 1, 2)
    mention = report["mentions"][2]
    assert (mention["file"], mention["line"], mention["model"], mention["status"]) == (place, 2, GONE, "gone")
    assert mention["since"] == MODELS[GONE].removed_on
    assert mention["alternatives"]


def test_check_fails_for_unknown_models_on_request(run: Run, project: Any) -> None:
    project({"a.env": "MODEL=acme/new-7b\n"})
    assert checked(run)["unknown"] == 1
    assert checked(run, "--fail-on-unknown", code=1)["unknown"] == 1
    assert "acme/new-7b is unknown" in run("models", "check", "--quiet", "--fail-on-unknown", code=1, **OFFLINE).out
    assert "acme" not in run("models", "check", "--quiet", **OFFLINE).out
    project({"a.env": f"MODEL={MODEL}\n"})
    assert checked(run, "--fail-on-unknown")["fine"] == 1


def test_check_takes_files_and_folders_once(run: Run, project: Any) -> None:
    project({"a.md": GONE, "docs/b.md": GONE, "docs/c.md": GONE})
    assert places(checked(run, "docs", "a.md", "docs/b.md", code=1)) == [
        os.path.join("docs", name) for name in ("b.md:1", "c.md:1")
    ] + ["a.md:1"]
    assert places(checked(run, "--exclude", "docs", code=1)) == ["a.md:1"]
    assert places(checked(run, "--exclude", "*.md")) == []
    assert places(checked(run, "--exclude", "docs/b*", "--exclude", "./a.md", code=1)) == [os.path.join("docs", "c.md:1")]
    assert places(checked(run, "docs", "--exclude", "docs/")) == []
    assert "missing.py" in one_error(run("models", "check", "missing.py", code=2, **OFFLINE))


def test_check_leaves_out_what_git_ignores(run: Run, project: Any, tmp_path: Path) -> None:
    project(
        {".gitignore": "build/\n*.log\n", "a.py": GONE, "b.log": GONE, "build/c.py": GONE, "sub/d.py": GONE, "sub/.env": GONE}
    )
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    assert places(checked(run, code=1)) == ["a.py:1", os.path.join("sub", ".env:1"), os.path.join("sub", "d.py:1")]
    assert places(checked(run, "sub", code=1)) == [os.path.join("sub", name) for name in (".env:1", "d.py:1")]
    assert places(checked(run, "b.log", "build", code=1)) == [
        "b.log:1",
        os.path.join("build", "c.py:1"),
    ]  # what is asked for counts
    subprocess.run(["git", "add", "."], cwd=tmp_path, check=True)
    (tmp_path / "a.py").unlink()
    assert places(checked(run, code=1)) == [os.path.join("sub", ".env:1"), os.path.join("sub", "d.py:1")]


def test_check_without_git_leaves_out_environments(run: Run, project: Any) -> None:
    project(
        dict.fromkeys(
            [".venv/a.py", "env/pyvenv.cfg", "env/a.py", "node_modules/a/a.js", ".git/a", "b.py", ".github/c.yml"], GONE
        )
    )
    assert places(checked(run, code=1)) == [os.path.join(".github", "c.yml:1"), "b.py:1"]


def test_check_reads_text_in_any_encoding_and_no_binary_files(run: Run, project: Any) -> None:
    project(
        {
            "bom.txt": b"\xef\xbb\xbf" + GONE.encode(),
            "image.png": b"\x89PNG\0" + GONE.encode(),
            "latin.txt": b"caf\xe9 " + GONE.encode(),
            "windows.txt": GONE.encode("utf-16"),
        }
    )
    report = checked(run, code=1)
    assert places(report) == ["bom.txt:1", "latin.txt:1", "windows.txt:1"]
    assert (report["files"], report["skipped"]) == (3, [])


def test_check_says_which_files_it_did_not_read(run: Run, project: Any) -> None:
    project({"data.jsonl": b"x" * (MAX_BYTES + 1), "a.py": MODEL})
    report = checked(run)
    assert report["files"] == 1
    assert [entry["file"] for entry in report["skipped"]] == ["data.jsonl"]
    assert "data.jsonl" in run("models", "check", **OFFLINE).err


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs a device without an end")
def test_check_reads_no_device_to_its_end(run: Run) -> None:
    [skipped] = checked(run, "/dev/zero")["skipped"]
    assert skipped["reason"] == "larger than 10 MB"
