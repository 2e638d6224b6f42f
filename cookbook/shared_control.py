# /// script
# requires-python = ">=3.11"
# dependencies = ["together-adapters[langchain,llama-index,emulator,plots]", "langchain>=1.0,<2", "bm25s>=0.2.12", "rich", "tqdm"]
#
# [tool.uv.sources]
# together-adapters = { path = "..", editable = true }
# ///
"""Keep two frameworks within one limit and one budget: a LlamaIndex ingest and LangChain agents under one `Control`.

You learn how everything that uses a client shares its `Control`, which finds out what the service allows and lets requests wait for
their turn; how tags tell who has spent what; and how a budget bounds what the whole program may cost.

It prints what each job has spent, then the limit as it was learned, second by second, and the share of requests that were refused.
`--plot FILE` draws the limit.

With `TOGETHER_API_KEY` set, it sends about 160 chat requests (some 100,000 tokens, 3 cents), and a few of embeddings where a model can be
reached. Without a key, it runs on the emulator, costs nothing, and the limit falls to half after 3 seconds.

    uv run cookbook/shared_control.py --plot limit.png
"""

from __future__ import annotations

import argparse
import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import session
from langchain.agents import create_agent
from langchain_together_adapters import ChatTogether
from llama_index.core.extractors import KeywordExtractor
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.schema import BaseNode, TextNode
from llama_index_together_adapters import TogetherEmbedding, TogetherLLM
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from together_adapters import AsyncTogether, Control
from together_adapters.demo.corpus import Passage, passages
from together_adapters.demo.keyword_index import KeywordIndex
from together_adapters.emulator import Limits

MODEL = "openai/gpt-oss-120b"
BUDGET = 0.50  # dollars
DOCUMENTS, QUESTIONS = 130, 16
CONCURRENCY = 8  # requests at the same time; the limit per minute is learned
LIMITS = Limits(requests_per_minute=3000, schedule=[(3.0, Limits(requests_per_minute=1500))])  # of the emulator


# %% The jobs
@dataclass
class Jobs:
    """What shares a control: jobs, each with a model of its own framework."""

    control: Control
    client: AsyncTogether
    model: str
    embedding: TogetherEmbedding | None

    async def ingest(self, documents: list[Passage]) -> list[BaseNode]:
        """Adds keywords and vectors to all documents. It starts as many requests as it has documents: the control lets them wait."""
        llm = TogetherLLM(self.model, async_client=self.client)
        steps = [KeywordExtractor(llm, num_workers=len(documents), show_progress=False), self.embedding]
        pipeline = IngestionPipeline(transformations=[step for step in steps if step])
        with self.control.tag(job="ingest"):
            return list(await pipeline.arun(nodes=[TextNode(id_=document.title, text=document.text) for document in documents]))

    async def answer(self, documents: list[Passage]) -> list[str]:
        """Lets agents, all at the same time, explain what some documents are about."""
        index = KeywordIndex([document.text for document in documents])

        def search(query: str) -> str:
            """Search the Python language reference."""
            return "\n\n".join(documents[position].text for position, _ in index.search(query, 2))

        agent: Any = create_agent(ChatTogether(model=self.model, async_client=self.client), [search])
        questions = [f"What does Python's reference say about {document.title}?" for document in documents[:QUESTIONS]]
        with self.control.tag(job="answers"):
            states = await agent.abatch([{"messages": [("user", question)]} for question in questions])
        return [state["messages"][-1].text for state in states]


# %% The limit
@dataclass(frozen=True)
class Sample:
    """What the control knew and did at one moment.

    Attributes:
        seconds: The time since the start.
        limit: Requests in a minute that it has learned; None until the service says so or refuses one.
        waiting: Requests that waited for their turn.
        refused: Requests that the service had refused.
    """

    seconds: float
    limit: float | None
    waiting: int
    refused: int


async def watch(control: Control, run: session.Session, samples: list[Sample]) -> None:
    """Takes a sample twice a second, and one when it is cancelled."""
    start = time.monotonic()

    def take_sample() -> None:
        state = control.state()
        samples.append(Sample(time.monotonic() - start, state.requests_per_minute, state.waiting, run.refused))

    try:
        while True:
            take_sample()
            await asyncio.sleep(0.5)
    finally:
        take_sample()


# %% The run
async def run_jobs(run: session.Session, control: Control) -> list[Sample]:
    """Runs both jobs at once; returns samples of the limit."""
    with control.tag(job="setup"):
        model, embedder = run.chat_model(MODEL), run.embedder()
    documents, samples = passages()[:DOCUMENTS], list[Sample]()
    async with run.async_client() as service:
        client = service.with_options(control=control, max_retries=10)
        embedding = None
        if embedder:  # another server has limits of its own, and no place under this control
            shared: dict[str, Any] = {"async_client": client} if embedder.client is run.client else {"client": embedder.client}
            embedding = TogetherEmbedding(embedder.model, **shared)
        jobs = Jobs(control, client, model, embedding)
        watcher = asyncio.create_task(watch(control, run, samples))
        nodes, answers = await asyncio.gather(jobs.ingest(documents), jobs.answer(documents))
        watcher.cancel()
        with suppress(asyncio.CancelledError):
            await watcher
    assert all(node.metadata["excerpt_keywords"] for node in nodes)
    assert all(answers)
    print(f"\n{len(nodes)} documents ingested, {len(answers)} questions answered")
    return samples


# %% The output
def print_usage(control: Control) -> None:
    """Prints what each job has used. With `Control(ledger="usage.sqlite")`, `together-adapters usage` prints the like."""
    table = Table("Job", "Model", box=SIMPLE, padding=(0, 1, 0, 0))
    for name in ("Calls", "Requests", "In", "Out", "Dollars"):
        table.add_column(name, justify="right")
    total = control.ledger.total()
    for (job, model), usage in [*control.ledger.by("tag.job", "model"), (("total", ""), total)]:
        counts = usage.requests, usage.attempts, usage.input_tokens, usage.output_tokens
        table.add_row(job, model, *(f"{count:,}" for count in counts), f"{usage.cost:.6f}")
    Console(width=79).print(table)
    print(f"{total.cost:.6f} of {control.budget:.2f} dollars are spent; In and Out are tokens")


def print_limit(samples: list[Sample]) -> None:
    """Prints the limit as it was learned, each second and at the end."""
    print("\n  time   waiting   refused   requests a minute, as learned")
    for sample in [*samples[:-1:2], samples[-1]]:
        limit = f"{sample.limit:6,.0f} {'=' * min(round(sample.limit / 100), 40)}" if sample.limit else "     -"
        print(f"{sample.seconds:4.0f} s {sample.waiting:9} {sample.refused:9}   {limit}")


def plot_limit(samples: list[Sample], path: Path) -> None:
    """Draws the limit as it was learned, and how many requests waited."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    limits, queue = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    seconds = [sample.seconds for sample in samples]
    limits.plot(seconds, [sample.limit or float("nan") for sample in samples], drawstyle="steps-post")
    limits.set(ylabel="requests a minute, as learned", ylim=0)
    queue.fill_between(seconds, [sample.waiting for sample in samples], alpha=0.4)
    queue.set(ylabel="waiting", xlabel="seconds", ylim=0)
    figure.savefig(path)
    print(f"\nThe plot is in {path}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Run two jobs of two frameworks under one control.")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the limit as it was learned: .png, .svg, .pdf")
    path = parser.parse_args().plot
    control = Control(budget=BUDGET, max_concurrency=CONCURRENCY)
    with session.connect("One control for LlamaIndex and LangChain", limits=LIMITS) as run:
        run.client = run.client.with_options(control=control)
        samples = asyncio.run(run_jobs(run, control))
        print_usage(control)
        print_limit(samples)
        print(f"\n{run.refused} of {run.requests} requests were refused: {run.refused / run.requests:.1%}")
        if path:
            plot_limit(samples, path)


if __name__ == "__main__":
    main()
