"""`ft diff`: a check against the service's report, and two reports."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Run, one_error
from tests.cli.ft.conftest import report_of
from together_adapters import Together
from together_adapters.emulator import Emulator


def test_check_against_the_service(run: Run, train: Path, faulty: Path, emulator: Emulator) -> None:
    with Together(api_key="any", base_url=emulator.base_url) as client:
        id = client.files.upload(train).id or ""
        client.files.wait(id)
    result = run("ft", "diff", train, id)
    assert (result.out, result.err) == ("", "no differences\n")
    assert run("ft", "diff", train, id, "--json").json == []
    other = run("ft", "diff", faulty, id, code=1)
    assert any(line.split() == ["valid", "no", "yes"] for line in other.out.splitlines())
    one_error(run("ft", "diff", train, "file-nothing", code=3))


def test_two_reports(run: Run, train: Path, many: Path, tmp_path: Path) -> None:
    run("ft", "check", train, "--report", "a.json")
    run("ft", "check", many, "--report", "b.json")
    run("ft", "diff", train, "a.json")
    differences = report_of(run("ft", "diff", "a.json", "b.json", "--json", code=1))
    assert {"name": "rows", "local": 5, "remote": 60} in differences
    (tmp_path / "remote.json").write_text('{"id": "file-1", "validation_report": {"valid": true, "nlines": 7}}', "utf-8")
    assert report_of(run("ft", "diff", train, "remote.json", "--json", code=1)) == [{"name": "nlines", "local": 5, "remote": 7}]
    (tmp_path / "no.json").write_text("[1]", "utf-8")
    assert "is not a report" in one_error(run("ft", "diff", train, "no.json", code=1))
