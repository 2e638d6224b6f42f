"""`ft split`: repeatable, without leakage, and both files or none."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Run, conversation, one_error
from tests.cli.ft.conftest import files


def test_split_is_repeatable_and_without_leakage(run: Run, many: Path, tmp_path: Path) -> None:
    result = run("ft", "split", many, "--validation", 0.2, "--seed", 3, "-o", "a")
    assert "a/train.jsonl" in result.out
    number = len((tmp_path / "a/validation.jsonl").read_bytes().splitlines())
    assert f"validation: {number} of 60 rows, {number / 60:.0%}" in result.err
    reports = run("ft", "split", many, "--validation", 0.2, "--seed", 3, "-o", "b/c", "--json").json
    assert reports["train"]["valid"] + reports["validation"]["valid"] == 60
    assert reports["validation"]["leakage"] == {"exact": 0, "prompt": 0}
    assert reports["validation"]["path"] == "b/c/validation.jsonl"
    for name in ("train.jsonl", "validation.jsonl"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b/c" / name).read_bytes()
    assert files(tmp_path / "a") == {f"{name}.{kind}" for name in ("train", "validation") for kind in ("jsonl", "report.json")}
    assert "--overwrite" in one_error(run("ft", "split", many, "-o", "a", code=2))
    run("ft", "split", many, "--validation", 0.3, "-o", "a", "--overwrite")


def test_split_by_a_column_keeps_groups_together(run: Run, tmp_path: Path) -> None:
    rows = [{**json.loads(conversation(n)), "talk": f"t{n // 3}"} for n in range(60)]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    run("ft", "split", "-", "--validation", 0.3, "--by", "talk", "-o", "out", input=(tmp_path / "in.jsonl").read_text("utf-8"))
    prompts = [
        json.loads(line)["messages"][0]["content"] for line in (tmp_path / "out/validation.jsonl").read_text("utf-8").splitlines()
    ]
    numbers = {int(text.split()[1]) for text in prompts}
    assert numbers and all({n // 3 * 3, n // 3 * 3 + 1, n // 3 * 3 + 2} <= numbers for n in numbers)


def test_a_small_file_is_split_as_near_as_possible(run: Run, tmp_path: Path) -> None:
    for rows in (5, 50):
        (tmp_path / f"{rows}.jsonl").write_text("".join(f"{conversation(n)}\n" for n in range(rows)), "utf-8")
    error = one_error(run("ft", "split", "5.jsonl", "--validation", 0.01, "-o", "a", code=1))
    assert "with --validation 0.01" in error and "--exact takes that share" in error
    result = run("ft", "split", "5.jsonl", "--validation", 0.4, "--exact", "-o", "a")
    assert "validation: 2 of 5 rows, 40%\n" in result.err
    for seed in range(20):
        result = run("ft", "split", "50.jsonl", "--validation", 0.2, "--seed", seed, "-o", f"b{seed}")
        number = len((tmp_path / f"b{seed}/validation.jsonl").read_text("utf-8").splitlines())
        assert ("20% are 10: --exact comes as near as possible" in result.err) is (abs(number - 10) > 1)
        if abs(number - 10) > 1:
            break
    else:
        raise AssertionError("all seeds give about 10 rows")


def test_both_files_or_none(run: Run, train: Path, faulty: Path, tmp_path: Path) -> None:
    before = files(tmp_path)
    assert "--validation" not in one_error(run("ft", "split", train, "--by", "talk", "-o", "new/out", code=1))
    run("ft", "split", faulty, "-o", "new/out", code=1)
    assert "is empty" in one_error(run("ft", "split", train, "--validation", 0.0001, "-o", "new/out", code=1))
    one_error(run("ft", "split", train, "--validation", 1.5, "-o", "new/out", code=2))
    assert files(tmp_path) == before
