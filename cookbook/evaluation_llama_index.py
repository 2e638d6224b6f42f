# /// script
# requires-python = ">=3.11"
# dependencies = ["together-adapters[llama-index,emulator]", "bm25s>=0.2.12", "tqdm"]
#
# [tool.uv.sources]
# together-adapters = { path = "..", editable = true }
# ///
"""Evaluate a RAG chain over 500 questions by two batch jobs: the answers of a LlamaIndex engine, then the judgements.

You learn how `batch_api` lets everything that asks at the same time travel as one job, which some models do for less, while the engine
and the evaluators are those of any other program; and how a checkpoint keeps what is finished: started again, the program asks
only what is new.

It prints how many of the passages that each question is about were found, how many answers are faithful to the passages and relevant
to the question, the jobs, and the tokens.

With `TOGETHER_API_KEY` set, a question takes three requests (about 4,000 tokens, a tenth of a cent by the list price); jobs take minutes
to a day. Without a key, it runs on the emulator, which takes half a minute for 500 questions, and costs nothing; it cannot judge, so
`judge_by_words` makes its replies: the judgements mean nothing then.

    uv run cookbook/evaluation_llama_index.py --questions 12 --checkpoint evaluation.sqlite
"""

from __future__ import annotations

import argparse
import asyncio
import math
import re
import warnings
from collections.abc import Sequence
from typing import Any

import session
from llama_index.core.base.response.schema import RESPONSE_TYPE
from llama_index.core.evaluation import BatchEvalRunner, EvaluationResult, FaithfulnessEvaluator, RelevancyEvaluator
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import TextNode
from llama_index_together_adapters import TogetherLLM
from rag_llama_index import KeywordRetriever

from together_adapters.bulk import BatchAPI, BulkProgress
from together_adapters.demo.corpus import passages

MODEL = "openai/gpt-oss-120b"
QUESTIONS = 500
FORMS = ("What does the reference say about {!r}?", "How is {!r} used, by the reference?")
TOP_K = 3


# %% The questions
def build_nodes() -> list[TextNode]:
    """Makes a node of each passage, whose id is its title."""
    return [TextNode(id_=passage.title, text=f"{passage.title}\n\n{passage.text}") for passage in passages()]


def questions_about(nodes: Sequence[TextNode], count: int) -> dict[str, str]:
    """Returns questions about nodes, spread over the corpus, each with the id of its node; more than there are nodes are of several forms."""
    questions: dict[str, str] = {}
    for form in FORMS:
        step = max(len(nodes) // max(count - len(questions), 1), 1)
        some = nodes[::step][: count - len(questions)]
        questions |= {form.format(node.node_id): node.node_id for node in some}
    return questions


# %% The two jobs
async def answer(engine: RetrieverQueryEngine, questions: Sequence[str]) -> list[RESPONSE_TYPE]:
    """Asks all questions at the same time, so that they travel as one job."""
    return list(await asyncio.gather(*map(engine.aquery, questions)))


async def judge(llm: TogetherLLM, questions: Sequence[str], answers: Sequence[Any]) -> dict[str, list[EvaluationResult]]:
    """Judges all answers at the same time: `workers` bounds how many, so it is as high as there are judgements."""
    evaluators = {"faithful": FaithfulnessEvaluator(llm=llm), "relevant": RelevancyEvaluator(llm=llm)}
    with warnings.catch_warnings(action="ignore"):  # the runner uses a function of LlamaIndex that is deprecated
        runner = BatchEvalRunner(evaluators, workers=len(evaluators) * len(questions))
    return await runner.aevaluate_responses(queries=list(questions), responses=list(answers))


def judge_by_words(request: dict[str, Any]) -> str:
    """Stands in for a judge on the emulator: says YES where the context has most words of what is to be judged."""
    _, _, prompt = str(request["messages"][-1]["content"]).rpartition("Answer: NO")  # examples end with it
    judged, _, context = prompt.partition("Context:")
    words = set(re.findall(r"\w{4,}", judged.lower()))
    return "YES" if 2 * len(words & set(re.findall(r"\w{4,}", context.lower()))) > len(words) else "NO"


# %% The report
def print_report(
    questions: dict[str, str], answers: Sequence[RESPONSE_TYPE], judgements: dict[str, list[EvaluationResult]]
) -> None:
    """Prints how many passages were found, and how many answers passed."""
    found = [
        node in [source.node_id for source in each.source_nodes] for node, each in zip(questions.values(), answers, strict=True)
    ]
    print()
    for name, passed in {
        "found": found,
        **{name: [bool(each.passing) for each in results] for name, results in judgements.items()},
    }.items():
        print(f"{name:<10}{sum(passed):>5} of {len(passed)}")


def arguments() -> Any:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description="Evaluate a RAG chain by batch jobs.")
    parser.add_argument("--questions", type=int, default=QUESTIONS, help="how many questions (default: %(default)s)")
    parser.add_argument("--checkpoint", help="a file that keeps what is finished; started again, the program continues")
    parser.add_argument(
        "--poll-interval", type=float, default=15.0, help="seconds between two looks at a job (default: %(default)s)"
    )
    return parser.parse_args()


async def evaluate(run: session.Session, options: Any) -> None:
    nodes = build_nodes()
    questions = questions_about(nodes, options.questions)
    jobs: list[int] = []

    def note(progress: BulkProgress) -> None:
        if progress.phase == "done":
            jobs.append(progress.total)
            print(f"Job {len(jobs)}:    {progress.total} requests, {progress.failed} failed")

    batch_api = BatchAPI(
        checkpoint=options.checkpoint, poll_interval=0.1 if run.emulator else options.poll_interval, progress=note
    )
    async with run.async_client() as client:
        llm = TogetherLLM(run.chat_model(MODEL), temperature=0, async_client=client, batch_api=batch_api)
        print(f"Corpus:   {len(nodes)} passages, {len(questions)} questions; {llm.model} answers and judges")
        engine = RetrieverQueryEngine.from_args(KeywordRetriever(nodes, TOP_K), llm=llm)
        answers = await answer(engine, list(questions))
        judgements = await judge(llm, list(questions), answers)
    print_report(questions, answers, judgements)
    print(f"\n{run.requests} requests, those of files and jobs among them, for {sum(jobs)} answers and judgements")


def main() -> None:
    options = arguments()
    with session.connect("LlamaIndex: an evaluation by batch jobs", job_seconds=2.0) as run:
        if run.emulator:
            run.emulator.reply(judge_by_words, when="YES", times=math.inf)
        asyncio.run(evaluate(run, options))


if __name__ == "__main__":
    main()
