# /// script
# requires-python = ">=3.11"
# dependencies = ["together-adapters[langchain,emulator]", "tqdm"]
#
# [tool.uv.sources]
# together-adapters = { path = "..", editable = true }
# ///
"""Label documents by the Batch API, and let the program be killed in the middle: an ordinary LangChain chain on Together.

You learn that a chain with structured output needs one more argument, `batch_api`, to travel as a job; that the checkpoint of the
job survives the process, so that a second start waits for the same job instead of paying for another; and how to bound the price.

It starts itself as a second process, kills that as soon as its job runs, and goes on from the checkpoint. Then it prints how many
documents got each label, how many labels are right, and how many files and jobs there were: one of each.

With `TOGETHER_API_KEY` set, it labels 40 documents (some 15,000 tokens, less than a cent), which takes minutes, at busy times hours.
Without a key, it runs on the emulator and costs nothing.

    uv run cookbook/labels_langchain.py --documents 2000
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, Literal, get_args

import session
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.prompts import ChatPromptTemplate
from langchain_together_adapters import ChatTogether
from pydantic import BaseModel, Field

from together_adapters.bulk import BatchAPI, BulkProgress

MODEL = "openai/gpt-oss-120b"
MAX_PRICE = 1.00  # dollars
Team = Literal["billing", "delivery", "repairs"]
CITIES = ("Lisbon", "Oslo", "Turin", "Vienna", "Lima")
TEXTS: dict[Team, str] = {
    "billing": "I live in {city}. Please ask your billing people why I was charged twice for order {order}.",
    "delivery": "I live in {city}. The delivery of order {order} was promised for Monday, and nothing has come.",
    "repairs": "I live in {city}. The lamp of order {order} is broken; does your repairs shop take it back?",
}


# %% The documents and their schema
class Label(BaseModel):
    """What a message is about."""

    team: Team = Field(description="who answers it")
    city: str
    order: int = Field(description="number of the order")


def documents(count: int) -> list[tuple[dict[str, str], Label]]:
    """Invents messages, each with the label that is right for it."""
    labels = [Label(team=get_args(Team)[number % 3], city=CITIES[number % 5], order=1_000 + number) for number in range(count)]
    return [({"text": TEXTS[label.team].format(city=label.city, order=label.order)}, label) for label in labels]


# %% The chain
def chain(checkpoint: Path, report: Any = None, **options: Any) -> Any:
    """Builds the chain. Without `batch_api` it would be the same, and send its requests one by one."""
    settings = BatchAPI(checkpoint=checkpoint, max_price=MAX_PRICE, poll_interval=options.pop("poll_interval"), progress=report)
    llm = ChatTogether(temperature=0, reasoning_effort="low", max_tokens=500, batch_api=settings, **options)
    prompt = ChatPromptTemplate.from_messages([("system", "Label the customer's message."), ("human", "{text}")])
    return prompt | llm.with_structured_output(Label)


# %% A process that is killed
def start_and_kill(arguments: list[str], environment: dict[str, str]) -> str:
    """Starts this program with its own checkpoint, and kills it as soon as its job runs; returns what it did last."""
    command = [sys.executable, __file__, "--child", *arguments]
    phase = ""
    variables = os.environ | environment
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=variables, encoding="utf-8") as process:  # noqa: S603  # of our own
        assert process.stdout is not None
        for line in process.stdout:
            phase = line.strip()
            if phase == "wait":
                process.kill()
                break
    return phase


def report_phase(progress: BulkProgress) -> None:
    print(progress.phase, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Label documents by a batch job that survives its process.")
    parser.add_argument("--documents", type=int, default=40, metavar="N", help="how many (default: %(default)s)")
    parser.add_argument("--checkpoint", type=Path, help="where to keep the state of the run (default: a temporary file)")
    parser.add_argument("--model", default=MODEL, help="the chat model (default: %(default)s)")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.documents < 1:
        parser.error("--documents must be at least 1")
    inputs = [text for text, _ in documents(arguments.documents)]
    if arguments.child:
        chain(arguments.checkpoint, report_phase, model=arguments.model, poll_interval=0.2).batch(inputs)
        return
    with session.connect("LangChain: labels by a batch job") as run, tempfile.TemporaryDirectory() as folder:
        model = run.chat_model(arguments.model)
        checkpoint = arguments.checkpoint or Path(folder, "labels.sqlite")
        before = len(run.client.batches.list())
        own = ["--documents", str(arguments.documents), "--checkpoint", str(checkpoint), "--model", model]
        key = {"TOGETHER_API_KEY": "any"} if run.emulator else {}
        phase = start_and_kill(own, {"TOGETHER_BASE_URL": run.client.base_url, **key})
        print(
            f"\nThe first process was killed {'while its job ran' if phase == 'wait' else f'too late, it had reached: {phase}'}."
        )

        usage = UsageMetadataCallbackHandler()
        again = chain(checkpoint, client=run.client, model=model, poll_interval=0.2 if run.emulator else 15)
        labels = again.batch(inputs, {"callbacks": [usage]}, return_exceptions=True)
        show(labels, [label for _, label in documents(arguments.documents)])
        print(f"Jobs of both processes together: {len(run.client.batches.list()) - before}")
        tokens = usage.usage_metadata.values()
        run.print_summary(sum(each["input_tokens"] for each in tokens), sum(each["output_tokens"] for each in tokens))


# %% The table
def show(labels: list[Any], expected: list[Label]) -> None:
    """Prints how many documents got each label, and how many of these are right in all fields."""
    given = Counter(label.team for label in labels if isinstance(label, Label))
    right = Counter(label.team for label, truth in zip(labels, expected, strict=True) if label == truth)
    print(f"\n{'team':<10} {'labels':>7} {'right':>7}")
    for team in get_args(Team):
        print(f"{team:<10} {given[team]:>7,} {right[team]:>7,}")
    print(f"{'all':<10} {sum(given.values()):>7,} {sum(right.values()):>7,}\n")
    failures = [label for label in labels if not isinstance(label, Label)]
    for failure in failures[:3]:
        print(f"without a label: {' '.join(str(failure).split())[:60]}")


if __name__ == "__main__":
    main()
