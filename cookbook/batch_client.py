# /// script
# requires-python = ">=3.11"
# dependencies = ["together-adapters[emulator]", "tqdm"]
#
# [tool.uv.sources]
# together-adapters = { path = "..", editable = true }
# ///
"""Sort messages by a batch job: half a day of patience instead of a limit of requests, with the plain client.

You learn the five steps of a batch: write the file, upload it, create the job, wait, read the results; that a request which the service
refuses does not fail the others; and what the job costs. `client.batches.run` does all of it in one call, with a checkpoint that
survives its process; see labels_langchain.py.

It prints the messages of each team, the requests that failed and why, and the dollars by the list prices.

With `TOGETHER_API_KEY` set, the job has 31 small requests (about 5,000 tokens, less than a cent) and takes minutes, at busy times
hours. Without a key, it runs on the emulator and costs nothing.

    uv run cookbook/batch_client.py --messages 300
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import session

from together_adapters import Together
from together_adapters.types.batches import BatchResult
from together_adapters.types.progress import Progress

MODEL = "openai/gpt-oss-120b"
CITIES = ("Lisbon", "Oslo", "Turin", "Vienna", "Lima")
TEXTS = (
    "I live in {city}. Please ask your billing people why I was charged twice for order {order}.",
    "I live in {city}. The delivery of order {order} was promised for Monday, and nothing has come.",
    "I live in {city}. The lamp of order {order} is broken; does your repairs shop take it back?",
)
SCHEMA = {
    "type": "object",
    "properties": {
        "team": {"type": "string", "enum": ["billing", "delivery", "repairs"]},
        "order": {"type": "integer", "description": "number of the order"},
    },
    "required": ["team", "order"],
}


# %% The requests
def build_requests(model: str, count: int) -> dict[str, dict[str, Any]]:
    """Returns the bodies of requests by their ids, as a chat of one message would send them."""
    settings: dict[str, Any] = {"model": model, "temperature": 0, "max_tokens": 500, "reasoning_effort": "low"}
    settings["response_format"] = {"type": "json_schema", "schema": SCHEMA}
    texts = [TEXTS[number % 3].format(city=CITIES[number % 5], order=1_000 + number) for number in range(count)]
    requests = {f"message-{number}": settings | {"messages": ask(text)} for number, text in enumerate(texts)}
    return requests | {"too-hot": settings | {"messages": ask("Is it warm?"), "temperature": 9}}  # which is refused


def ask(text: str) -> list[dict[str, str]]:
    return [{"role": "system", "content": "Which team answers the customer's message?"}, {"role": "user", "content": text}]


# %% The job
def run_batch(client: Together, requests: dict[str, Any], folder: Path, poll_interval: float) -> list[BatchResult]:
    """Runs requests as one job; returns their results in the order of the requests."""
    path = client.batches.write_input(requests, folder / "requests.jsonl")  # checked against the service's rules
    file = client.files.upload(path, purpose="batch-api")
    batch = client.batches.create(str(file.id))
    print(f"\nBatch {batch.id}: {len(requests)} requests, {path.stat().st_size:,} bytes", flush=True)
    # The job goes on without this program: its id is enough for `wait` and `results`, from any other one.
    done = client.batches.wait(str(batch.id), poll_interval=poll_interval, progress=report)
    results = client.batches.results(done, input=path)
    client.files.delete(str(file.id))  # what is uploaded stays in the account otherwise
    return results


def report(progress: Progress) -> None:
    print(f"  {progress.stage}, {progress.fraction or 0:.0%}", flush=True)


# %% The table
def label_of(body: Mapping[str, Any]) -> tuple[str, int]:
    """Returns what an answer says: the team and the order. One that was cut at `max_tokens` is no JSON."""
    try:
        label = json.loads(body["choices"][0]["message"]["content"])
        return label["team"], label["order"]
    except (ValueError, KeyError, TypeError):
        return "unclear", 0


def show(results: Sequence[BatchResult]) -> Counter[str]:
    """Prints the teams and the failures; returns the tokens."""
    orders: dict[str, list[int]] = {}
    tokens: Counter[str] = Counter()
    for result in results:
        if result.body is not None:
            team, order = label_of(result.body)
            orders.setdefault(team, []).append(order)
            tokens.update({kind: result.body["usage"][f"{kind}_tokens"] for kind in ("prompt", "completion")})
    print(f"\n{'team':<10} {'messages':>8}  orders")
    for team, numbers in sorted(orders.items()):
        print(f"{team:<10} {len(numbers):>8}  {', '.join(map(str, numbers[:6]))}{', ...' if len(numbers) > 6 else ''}")
    for result in results:
        if not result.ok:
            message = (result.error or {}).get("message") or "it has no answer"
            print(f"\n{result.custom_id} failed: {message}")
    return tokens


def main() -> None:
    parser = argparse.ArgumentParser(description="Sort messages by a batch job.")
    parser.add_argument("--messages", type=int, default=30, metavar="N", help="how many (default: %(default)s)")
    parser.add_argument(
        "--poll-interval", type=float, default=15, metavar="SECONDS", help="between two looks (default: %(default)s)"
    )
    arguments = parser.parse_args()
    if arguments.messages < 1:
        parser.error("--messages must be at least 1")
    with session.connect("The client: messages sorted by a batch job") as run, tempfile.TemporaryDirectory() as folder:
        model = run.chat_model(MODEL)
        requests = build_requests(model, arguments.messages)
        tokens = show(
            run_batch(run.client, requests, Path(folder), poll_interval=0.1 if run.emulator else arguments.poll_interval)
        )
        prices = run.client.models.info(model).prices
        if prices.input is not None and prices.output is not None:
            dollars = (tokens["prompt"] * prices.input + tokens["completion"] * prices.output) / 1_000_000
            print(f"\n${dollars:.5f} by the list prices of {model}; some models do batches for less")
        run.print_summary(tokens["prompt"], tokens["completion"])


if __name__ == "__main__":
    main()
