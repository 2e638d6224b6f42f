"""A run in a process of its own, which tests kill: `python interrupted_run.py URL VIA CHECKPOINT COUNT`. Prints a line of JSON for each result."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from together_adapters import Together
from together_adapters.bulk import jobs, run


def bodies(count: int) -> list[dict[str, Any]]:
    """Some requests; every seventh is one that came before."""
    numbers = [number // 2 if number % 7 == 0 else number for number in range(count)]
    return [
        {
            "model": "openai/gpt-oss-120b",
            "max_tokens": 30,
            "messages": [{"role": "user", "content": f"Repeat the number {number}."}],
        }
        for number in numbers
    ]


def main() -> None:
    jobs.SHARD_LINES = 10  # type: ignore[misc]
    url, via, checkpoint, count = sys.argv[1:]
    client = Together(base_url=url, api_key="emulator")
    results = run(client, bodies(int(count)), via=via, checkpoint=Path(checkpoint), poll_interval=0.02, max_concurrency=4)  # type: ignore[call-overload]
    for item in results:
        answer = item.response.choices[0].message.content if item.response else None
        print(json.dumps({"index": item.index, "answer": answer, "error": item.error and str(item.error)}))
    print(json.dumps({"end": len(results)}), flush=True)


if __name__ == "__main__":
    main()
