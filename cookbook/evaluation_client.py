# /// script
# requires-python = ">=3.11"
# dependencies = ["together-adapters[emulator]", "tqdm"]
#
# [tool.uv.sources]
# together-adapters = { path = "..", editable = true }
# ///
"""Let a judge decide which of two prompts is better: evaluation jobs of the service, with the plain client.

You learn the three kinds of evaluation: `score` gives each answer a number, `classify` a label, `compare` chooses the better of two;
that the service generates the answers itself, from a template of the question; and where each single judgement is, not only the mean.

It asks about a shop, with its rules in the prompt and without them. It prints the scores and labels of both prompts, how often each is
the better one, and the questions where they differ.

With `TOGETHER_API_KEY` set, five jobs answer and judge six questions each (about 70 chats, 20,000 tokens, about a cent) and take some
minutes. Without a key, it runs on the emulator, whose judge counts the words that an answer shares with the reference, and costs
nothing.

    uv run cookbook/evaluation_client.py
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import session

MODEL = JUDGE = "openai/gpt-oss-120b"
RULES = (
    "Parcels arrive within three working days. Orders above 50 euros ship for free. "
    "Opened books cannot be returned. Refunds take a week. Gift wrapping costs two euros. The shop in Oslo closes at six."
)
PROMPTS = {
    "without rules": "You answer for a bookshop. Be brief.",
    "with rules": f"You answer for a bookshop. Be brief, and keep to these rules: {RULES}",
}
ROWS = [
    {"question": "When do parcels arrive?", "reference": "Parcels arrive within three working days."},
    {"question": "Which orders ship for free?", "reference": "Orders above 50 euros ship for free."},
    {"question": "Can opened books be returned?", "reference": "No, opened books cannot be returned."},
    {"question": "How long do refunds take?", "reference": "Refunds take a week."},
    {"question": "What does gift wrapping cost?", "reference": "Gift wrapping costs two euros."},
    {"question": "When does the shop in Oslo close?", "reference": "The shop in Oslo closes at six."},
]
TASK = "The question was: {{ question }} The right answer is: {{ reference }} "


class Evaluations:
    """Evaluation jobs on one file of rows."""

    def __init__(self, run: session.Session, folder: Path, poll_interval: float) -> None:
        self._client = run.client
        self._poll_interval = 0.1 if run.emulator else poll_interval
        self._judge = run.chat_model(JUDGE)
        self._model = run.chat_model(MODEL)
        path = folder / "questions.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), "utf-8")
        self._file = run.client.files.upload(path, purpose="eval")

    def delete_file(self) -> None:
        """Deletes the questions at the service; the files of the judgements stay there."""
        self._client.files.delete(str(self._file.id))

    def candidate(self, prompt: str) -> dict[str, Any]:
        """Describes a model that answers. The name of a column would stand for answers that the file has already."""
        settings = {"model": self._model, "model_source": "serverless", "max_tokens": 500, "temperature": 0}
        return settings | {"system_template": PROMPTS[prompt], "input_template": "{{ question }}"}

    def judge(self, kind: str, instructions: str, **options: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Runs a job; returns its results, and a row with the judgement of each question."""
        created = self._client.evaluation.create(
            kind,
            judge_model=self._judge,
            judge_model_source="serverless",
            judge_system_template=TASK + instructions,
            input_data_file_path=self._file.id,
            **options,
        )
        job = self._client.evaluation.wait(str(created.workflow_id), poll_interval=self._poll_interval)
        results = job.results or {}
        content = self._client.files.content(str(results["result_file_id"]))
        return results, [json.loads(line) for line in bytes(content).splitlines()]


# %% The three kinds
def show_scores(evaluations: Evaluations) -> None:
    """Prints the mean score of each prompt, and how many answers are labelled right."""
    print(f"\n{'prompt':<15} {'score, 1 to 5':>13} {'right':>7} {'wrong':>7}")
    for name in PROMPTS:
        model = evaluations.candidate(name)
        score, _ = evaluations.judge(
            "score", "Rate the answer.", min_score=1, max_score=5, pass_threshold=4, model_to_evaluate=model
        )
        labels = {"labels": ["right", "wrong"], "pass_labels": ["right"]}
        label, _ = evaluations.judge("classify", "Is the answer right or wrong?", model_to_evaluate=model, **labels)
        counts = label["label_counts"]
        counts = json.loads(counts) if isinstance(counts, str) else counts
        print(f"{name:<15} {score['aggregated_scores']['mean_score']:>13.2f} {counts['right']:>7} {counts['wrong']:>7}")


def show_comparison(evaluations: Evaluations) -> None:
    """Prints how often each prompt is the better one, and where."""
    first, second = PROMPTS
    results, rows = evaluations.judge(
        "compare",
        "Which answer is better?",
        model_a=evaluations.candidate(first),
        model_b=evaluations.candidate(second),
    )
    wins = f"{first} {results['A_wins']}, {second} {results['B_wins']}, ties {results['Ties']}"
    print(f"\nThe better answer, each pair judged in both orders: {wins}")
    for row in rows:
        if row["choice"] != "Tie":
            print(f"\n{row['question']}")
            for name, letter in ((first, "a"), (second, "b")):
                mark = "*" if row["choice"] == letter.upper() else " "
                print(f" {mark} {name:<14} {' '.join(row[f'response_{letter}'].split())[:60]}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Let a judge decide which of two prompts is better.")
    parser.add_argument(
        "--poll-interval", type=float, default=15, metavar="SECONDS", help="between two looks (default: %(default)s)"
    )
    poll_interval = parser.parse_args().poll_interval
    with session.connect("The client: two prompts before a judge") as run, tempfile.TemporaryDirectory() as folder:
        evaluations = Evaluations(run, Path(folder), poll_interval)
        show_scores(evaluations)
        show_comparison(evaluations)
        evaluations.delete_file()
        print(f"\n{run.requests} requests, 5 evaluations")


if __name__ == "__main__":
    main()
