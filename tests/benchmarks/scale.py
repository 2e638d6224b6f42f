"""How cost grows: with calls at the same time, from 1 to 2,000, and with the size of data. `python -m tests.benchmarks.scale`.

Calls are asynchronous chats of 1 KB that the server answers after 50 ms, on each transport that is installed; data are generated chats.
Both are measured once, in processes of their own: trust what grows, not the last digit.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, Final

from tests.benchmarks import finetune_sets, payloads, report
from tests.benchmarks.imports import wait_for
from tests.benchmarks.operations import quieten
from tests.benchmarks.server import MANY, running

AT_ONCE: Final = (1, 10, 50, 200, 500, 1_000, 2_000)
MEGABYTES: Final = (1, 10, 100, 1_000)
TRANSPORTS: Final[dict[str, dict[str, Any]]] = {
    "httpx": {},
    "httpx2": {"http_library": "httpx2"},
    "aiohttp": {"http_client": "httpx_aiohttp"},
    "fast": {"transport": "fast"},
}
_WORK: Final = {
    "check_jsonl": "from together_adapters.finetune import check_jsonl; assert check_jsonl(source).valid",
    "check_jsonl, 2 workers": "from together_adapters.finetune import check_jsonl; assert check_jsonl(source, workers=2).valid",
    "write_jsonl": "from together_adapters.finetune import load, write_jsonl; assert write_jsonl(load(source), target).report.valid",
}

_PEAK: Final = "import re, pathlib; print(re.search(r'VmHWM:\\s+(\\d+)', pathlib.Path('/proc/self/status').read_text())[1])"  # `ru_maxrss` begins with that of the parent


async def _measure_calls(url: str, options: dict[str, Any], at_once: int) -> dict[str, float]:
    """Returns microseconds of CPU for a call, calls a second, and megabytes of memory, of so many calls at the same time."""
    from together_adapters import AsyncTogether

    if options.get("http_client"):
        from httpx_aiohttp import HttpxAiohttpClient

        options = {"http_client": HttpxAiohttpClient()}
    body = payloads.chat_body()
    async with AsyncTogether(api_key=payloads.KEY, base_url=url, timeout=120, **options) as client:

        async def repeat(number: int) -> None:
            for _ in range(number):
                answer = await client.chat.completions.create(**body)
                assert answer.choices[0].message.content

        rounds = max(3, min(100, 2_000 // at_once))
        await _all(repeat, at_once, 1)
        began, cpu = perf_counter(), process_time()
        await _all(repeat, at_once, rounds)
        seconds, cpu = perf_counter() - began, process_time() - cpu
    calls = at_once * rounds
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"us": cpu / calls * 1e6, "per_second": calls / seconds, "peak_mb": peak}


async def _all(repeat: Callable[[int], Awaitable[None]], at_once: int, number: int) -> None:
    await asyncio.gather(*(repeat(number) for _ in range(at_once)))


def calls(at_once: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Yields a row for each transport and number of calls at the same time."""
    with running(MANY) as server:
        for name, options in TRANSPORTS.items():
            for number in at_once:
                arguments = [server.url("slow"), json.dumps(options), str(number)]
                done = subprocess.run(
                    [sys.executable, "-m", "tests.benchmarks.scale", "--one", *arguments],
                    capture_output=True,
                    text=True,
                    check=False,
                )
                if done.returncode:
                    yield {"transport": name, "at_once": number, "note": done.stderr.strip().splitlines()[-1][:90]}
                    break
                yield {"transport": name, "at_once": number, **json.loads(done.stdout)}


def data(megabytes: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Yields a row for each work and size of a file of chats."""
    with tempfile.TemporaryDirectory() as folder:
        for size in megabytes:
            source = Path(folder) / "rows.jsonl"
            _write_chats(source, size * 1_000_000)
            for name, work in _WORK.items():
                target = Path(folder) / "written.jsonl"
                code = f"source, target = {str(source)!r}, {str(target)!r}\n{work}\n{_PEAK}"
                began = perf_counter()
                process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
                usage = wait_for(process)
                with process:
                    peak = process.stdout.read() if process.stdout else b""
                seconds = perf_counter() - began
                target.unlink(missing_ok=True)
                if process.returncode:
                    yield {"work": name, "mb": size, "note": f"exit code {process.returncode}"}
                    continue
                cpu = usage.ru_utime + usage.ru_stime
                yield {"work": name, "mb": size, "cpu": cpu, "seconds": seconds, "peak_mb": int(peak or 0) / 1024}


def _write_chats(path: Path, size: int) -> None:
    """Writes chats of which none is equal to another."""
    finetune_sets.write("short", path, share=0.02)
    rows = path.read_bytes().splitlines(keepends=True)
    with path.open("wb", 1 << 20) as file:
        for number in count():
            row = rows[number % len(rows)].replace(b'"content": "', b'"content": "%d ' % number, 1)
            if file.tell() + len(row) > size:
                return
            file.write(row)


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.scale", description=__doc__)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--most", type=int, default=MEGABYTES[-1], metavar="MB", help="the largest file (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure to a file as well")
    options = parser.parse_args()
    quieten()
    if options.one:
        url, settings, number = options.one
        print(json.dumps(asyncio.run(_measure_calls(url, json.loads(settings), int(number)))))
        return
    load = report.load()
    call_rows, data_rows = [], []
    print(f"{'transport':<12}{'at once':>8}{'us of CPU a call':>18}{'calls a second':>16}{'peak MB':>9}")
    for row in calls(AT_ONCE):
        call_rows.append(row)
        figures = row.get("note") or f"{row['us']:>18.0f}{row['per_second']:>16.0f}{row['peak_mb']:>9.0f}"
        print(f"{row['transport']:<12}{row['at_once']:>8}{figures}", flush=True)
    print(f"\n{'work':<24}{'MB':>6}{'CPU s':>9}{'wall s':>9}{'MB/s':>7}{'peak MB':>9}")
    for row in data(sorted({size for size in MEGABYTES if size < options.most} | {options.most})):
        data_rows.append(row)
        figures = (
            row.get("note") or f"{row['cpu']:>9.2f}{row['seconds']:>9.2f}{row['mb'] / row['seconds']:>7.0f}{row['peak_mb']:>9.0f}"
        )
        print(f"{row['work']:<24}{row['mb']:>6}{figures}", flush=True)
    print(f"\n{report.machine(load)}")
    if options.json:
        text = json.dumps({"machine": report.machine(load), "calls": call_rows, "data": data_rows}, indent=1)
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
