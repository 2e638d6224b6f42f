# /// script
# requires-python = ">=3.11"
# dependencies = ["together-adapters[emulator,finetune]", "tqdm"]
#
# [tool.uv.sources]
# together-adapters = { path = ".." }
# ///
"""Train a model on what people liked: thumbs up and thumbs down become preferences for DPO.

You learn to pair answers to the same question, of which one was liked and one was not, to keep the pairs of one question on one
side when rows are divided, and that what cannot be paired is counted and not lost in silence.

It prints what became of the feedback, the job, and how the model answers a customer before and after.

Live (`TOGETHER_API_KEY` is set) it starts a training job, which costs money: with this little data a dollar or less, shown before
it starts and to be agreed to (`--yes` agrees). Without a key it runs on the emulator, where nothing costs anything and a tuned
model answers as the nearest of its rows prefers.

    python cookbook/finetune_dpo.py --folder feedback
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import tuning

from together_adapters import Together
from together_adapters.finetune import TrainingData

MODEL = "meta-llama/Meta-Llama-3.1-8B-Instruct-Reference"
QUESTION = "My invoice from May is missing. Can you send it?"
SYSTEM = "You answer customers of an energy supplier."
FEEDBACK = [
    # what was asked, what the model answered, what the customer thought of it
    ("My invoice from May is missing.", "You will find all invoices in the portal.", "down"),
    ("My invoice from May is missing.", "I am sorry. I have sent you the invoice from May again.", "up"),
    ("My invoice from May is missing.", "Invoices are sent on the 3rd of each month. Was there anything else?", "down"),
    ("How do I change my bank details?", "Bank details can be changed.", "down"),
    ("How do I change my bank details?", "Under Account, then Payment. It takes two minutes, and I am here if it fails.", "up"),
    ("My meter reading is wrong.", "Send me a photo of the meter, and I will correct the reading today.", "up"),
    ("My meter reading is wrong.", "Readings are estimated as laid down in section 4 of the terms.", "down"),
    ("I am moving in June. What do I do?", "Tell me the new address and the day, and I will move the contract for you.", "up"),
    ("I am moving in June. What do I do?", "You must give notice six weeks before.", "down"),
    ("Why is the bill so high this winter?", "Because you used more.", "down"),
    ("Why is the bill so high this winter?", "It was cold: you used 18 % more heat. A lower flow temperature saves most.", "up"),
    ("Do you have a tariff for heat pumps?", "Yes, Warm 2: 21 cents at night. Shall I work it out for you?", "up"),
    ("Can I pay every quarter?", "No.", "down"),
]


# %% From feedback to preferences
def by_question() -> list[dict[str, Any]]:
    """The answers to each question, by what people thought of them."""
    found: dict[str, dict[str, Any]] = defaultdict(lambda: {"up": [], "down": []})
    for question, answer, thumb in FEEDBACK:
        found[question][thumb].append(answer)
    return [{"question": question, **answers} for question, answers in found.items()]


def pairs(asked: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each answer that was liked, with each that was not. Where all agreed there is nothing to prefer: one half stays empty."""
    return [
        {"question": one["question"], "liked": liked, "disliked": disliked}
        for one in asked
        for liked in one["up"] or [None]
        for disliked in one["down"] or [None]
    ]


def preference(row: dict[str, Any]) -> dict[str, Any] | None:
    """A row as DPO takes it; None where there is only one half."""
    if row["liked"] is None or row["disliked"] is None:
        return None
    asked = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": row["question"]}]
    return {
        "input": {"messages": asked},
        "preferred_output": [{"role": "assistant", "content": row["liked"]}],
        "non_preferred_output": [{"role": "assistant", "content": row["disliked"]}],
    }


# %% The same question to both models
def answer(client: Together, model: str, question: str) -> str:
    asked = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question}]
    told = client.chat.completions.create(model=model, messages=asked, temperature=0, max_tokens=300)
    return str(told.choices[0].message.content)


def main() -> None:
    with tuning.connect("Preferences: from feedback to DPO", QUESTION, "Train a model on feedback.") as run:
        print(f"\n{len(FEEDBACK)} answers to {len(by_question())} questions were judged by customers")
        data = TrainingData.from_rows(pairs(by_question()), "feedback").map(preference, name="paired", reason="one_sided")
        train, validation = data.split(validation=0.2)  # pairs of one question stay together
        files = run.write(train, "train.jsonl", method="dpo"), run.write(validation, "validation.jsonl", method="dpo")
        job = run.train(*files, model=MODEL, method="dpo", dpo_beta=0.1, n_evals=1, suffix="liked")

        print(f"\nQuestion: {run.question}")
        run.tell("The model as it was", answer(run.client, MODEL, run.question))
        run.tell("The tuned model", answer(run.client, str(job.model), run.question))


if __name__ == "__main__":
    main()
