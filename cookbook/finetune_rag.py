# /// script
# requires-python = ">=3.11"
# dependencies = ["together-adapters[emulator,finetune]", "tqdm"]
#
# [tool.uv.sources]
# together-adapters = { path = ".." }
# ///
"""Teach a model to answer from what was retrieved: a labelled RAG set, with passages among the context that do not help.

You learn to make training data of questions with their passages and answers, to mix in passages of other questions as a
retriever would (RAFT), and to divide by topic before that, so that nothing that is measured with is seen in training, not even
among the passages that do not help.

It makes the set from Python's language reference (see `corpus.py`), prints what became of it and what leaks from one side to the
other, the job, and how the model answers a question among other passages than those it was trained with.

Live (`TOGETHER_API_KEY` is set) it starts a training job, which costs money: with this little data a dollar or less, shown before
it starts and to be agreed to (`--yes` agrees). Without a key it runs on the emulator, where nothing costs anything and a tuned
model answers as the nearest of its rows does.

    python cookbook/finetune_rag.py --folder rag
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import tuning
from corpus import passages

from together_adapters import Together
from together_adapters.finetune import RagPrompt, TrainingData, leakage, load

MODEL = "meta-llama/Meta-Llama-3.1-8B-Instruct-Reference"
QUESTION = "What does the reference say about the break statement?"
TEMPLATE = RagPrompt(distractors=2, seed=7)
MOST = 120


# %% The labelled set
def labelled() -> TrainingData:
    """Questions, each with the passage that answers it, and the answer: a quotation with its source. People write better ones."""
    found = []
    for passage in passages():
        topic = re.sub(r" \(\d+ of \d+\)$", "", passage.title)
        part = passage.title.removeprefix(topic).strip(" ()")
        sentence = re.split(r"(?<=[.:]) ", passage.text.partition("\n\n")[0])[0]
        about = topic[0].lower() + topic[1:] + (f", part {part}" if part else "")
        found.append(
            {
                "query": f"What does the reference say about {about}?",
                "reference_contexts": [passage.text],
                "reference_answer": f"“{sentence}” [{passage.title}]",
                "topic": topic,
            }
        )
    return TrainingData.from_rows(found, "Python's language reference").limit(MOST)


def write_set(examples: TrainingData, path: Path) -> Path:
    """Write questions as the file that LlamaIndex keeps such a set in, which `load` reads as well."""
    path.write_text(json.dumps({"examples": list(examples)}), "utf-8")
    return path


# %% The same question, among other passages
def prompt(question: str) -> str:
    """The question as a retriever would ask it: the passage that helps is among others, not those of the training row."""
    found = list(labelled())
    own = next((one["reference_contexts"] for one in found if one["query"] == question), [])
    others = [context for one in found for context in one["reference_contexts"]]
    return RagPrompt(distractors=2, seed=8)(question, own, others)


def answer(client: Together, model: str, asked: str) -> str:
    told = client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": asked}], temperature=0, max_tokens=300
    )
    return str(told.choices[0].message.content)


def main() -> None:
    with tuning.connect("RAG: passages that help, among some that do not", QUESTION, "Train a model to cite.") as run:
        sides = labelled().split(validation=0.1, by="topic")
        files = [write_set(side, run.folder / f"{name}.json") for side, name in zip(sides, ("train", "validation"), strict=True)]
        train, validation = (load(file, schema="labelled_rag", template=TEMPLATE) for file in files)
        prepared = run.write(train, "train.jsonl"), run.write(validation, "validation.jsonl")
        shared = leakage(train, validation)
        both = contexts(files[0]) & contexts(files[1])
        print(f"\nIn both files: {shared.exact} rows, {shared.prompt} prompts, {len(both)} passages")
        job = run.train(*prepared, model=MODEL, suffix="cites", n_evals=2, n_epochs=2)

        print(f"\nQuestion: {run.question}")
        asked = prompt(run.question)
        run.tell("The model as it was", answer(run.client, MODEL, asked))
        run.tell("The tuned model", answer(run.client, str(job.model), asked))


def contexts(file: Path) -> set[str]:
    """The passages of a set."""
    return {context for one in json.loads(file.read_text("utf-8"))["examples"] for context in one["reference_contexts"]}


if __name__ == "__main__":
    main()
