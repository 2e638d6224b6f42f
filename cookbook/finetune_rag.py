# /// script
# requires-python = ">=3.11"
# dependencies = ["together-adapters[emulator,finetune]", "tqdm"]
#
# [tool.uv.sources]
# together-adapters = { path = "..", editable = true }
# ///
"""Train a model to answer from retrieved passages: a labelled RAG dataset with distractors in the context.

You learn how to build training rows from questions with passages and answers, how to add passages of other questions as a
retriever would (RAFT), and how to split by topic before that, so that no validation passage is in the training data, not even as a
distractor.

It builds the dataset from Python's language reference (see `together_adapters.demo.corpus`), then prints the report of the rows, the leakage between
the two files, the job, and the answers to a question with other distractors than in training.

With `TOGETHER_API_KEY` set, it starts a training job, which costs money: with this little data a dollar or less. The price is
shown before it starts and must be confirmed (`--yes` confirms it). Without a key, it runs on the emulator, where nothing costs
anything and a tuned model gives the answer of its nearest training row.

    uv run cookbook/finetune_rag.py --folder rag
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import tuning

from together_adapters import Together
from together_adapters.demo.corpus import passages
from together_adapters.finetune import RagPrompt, TrainingData, leakage, load

MODEL = "Qwen/Qwen3.5-9B"
QUESTION = "What does the reference say about the break statement?"
TEMPLATE = RagPrompt(distractors=2, seed=7)
MAX_EXAMPLES = 120


# %% The labelled dataset
def labelled_examples() -> TrainingData:
    """Builds questions, each with its passage and an answer, which is a quotation with its source. People write better answers."""
    examples = []
    for passage in passages():
        topic = re.sub(r" \(\d+ of \d+\)$", "", passage.title)
        part = passage.title.removeprefix(topic).strip(" ()")
        sentence = re.split(r"(?<=[.:]) ", passage.text.partition("\n\n")[0])[0]
        about = topic[0].lower() + topic[1:] + (f", part {part}" if part else "")
        examples.append(
            {
                "query": f"What does the reference say about {about}?",
                "reference_contexts": [passage.text],
                "reference_answer": f"“{sentence}” [{passage.title}]",
                "topic": topic,
            }
        )
    return TrainingData.from_rows(examples, "Python's language reference").limit(MAX_EXAMPLES)


def write_examples(examples: TrainingData, path: Path) -> Path:
    """Writes examples in the JSON format of LlamaIndex's `LabelledRagDataset`, which `load` can read."""
    path.write_text(json.dumps({"examples": list(examples)}), "utf-8")
    return path


# %% The same question, with other distractors
def build_prompt(question: str) -> str:
    """Builds a prompt with the passage that answers the question among distractors other than those of the training row."""
    examples = list(labelled_examples())
    contexts = next((example["reference_contexts"] for example in examples if example["query"] == question), [])
    pool = [context for example in examples for context in example["reference_contexts"]]
    return RagPrompt(distractors=2, seed=8)(question, contexts, pool)


def answer(client: Together, model: str, prompt: str) -> str:
    response = client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": prompt}], temperature=0, max_tokens=2000
    )
    return str(response.choices[0].message.content)


def main() -> None:
    with tuning.connect("RAG: answers from passages among distractors", QUESTION, "Train a model to cite.") as run:
        sides = labelled_examples().split(validation=0.1, by="topic")
        files = [
            write_examples(side, run.folder / f"{name}.json") for side, name in zip(sides, ("train", "validation"), strict=True)
        ]
        train, validation = (load(file, schema="labelled_rag", template=TEMPLATE) for file in files)
        prepared = run.write(train, "train.jsonl"), run.write(validation, "validation.jsonl")
        overlap = leakage(train, validation)
        shared_passages = contexts(files[0]) & contexts(files[1])
        print(f"\nIn both files: {overlap.exact} rows, {overlap.prompt} prompts, {len(shared_passages)} passages")
        job = run.train(*prepared, model=MODEL, suffix="cites", n_evals=2, n_epochs=2)

        print(f"\nQuestion: {run.question}")
        prompt = build_prompt(run.question)
        with run.answer_of("The original model") as show:
            show(answer(run.client, MODEL, prompt))
        with run.answer_of("The tuned model") as show:
            show(answer(run.client, str(job.model), prompt))


def contexts(file: Path) -> set[str]:
    """The passages in a file of examples."""
    return {context for example in json.loads(file.read_text("utf-8"))["examples"] for context in example["reference_contexts"]}


if __name__ == "__main__":
    main()
