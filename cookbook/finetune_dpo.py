# /// script
# requires-python = ">=3.11"
# dependencies = ["together-adapters[emulator,finetune]", "tqdm"]
#
# [tool.uv.sources]
# together-adapters = { path = "..", editable = true }
# ///
"""Train a model on user feedback: thumbs up and thumbs down become preference pairs for DPO.

You learn how to pair a liked and a disliked answer to the same question, how to keep the pairs of one question together when rows
are split, and how to find out how many answers have no pair.

It prints the report of the rows, the job, and the answers to a customer before and after.

With `TOGETHER_API_KEY` set, it starts a training job, which costs money: with this little data a dollar or less. The price is
shown before it starts and must be confirmed (`--yes` confirms it). Without a key, it runs on the emulator, where nothing costs
anything and a tuned model gives the preferred answer of its nearest training row.

    uv run cookbook/finetune_dpo.py --folder feedback
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import tuning

from together_adapters import Together
from together_adapters.finetune import TrainingData

MODEL = "Qwen/Qwen3.5-9B"
QUESTION = "My invoice from May is missing. Can you send it?"
SYSTEM = "You answer customers of an energy supplier."
FEEDBACK = [
    # question, answer of the model, feedback of the customer
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
    """Groups the answers by question and feedback."""
    groups: dict[str, dict[str, Any]] = defaultdict(lambda: {"up": [], "down": []})
    for question, answer, thumb in FEEDBACK:
        groups[question][thumb].append(answer)
    return [{"question": question, **answers} for question, answers in groups.items()]


def pairs(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Pairs each liked answer with each disliked one; a question with only one kind of feedback gives half a pair."""
    return [
        {"question": group["question"], "liked": good, "disliked": bad}
        for group in groups
        for good in group["up"] or [None]
        for bad in group["down"] or [None]
    ]


def preference(row: dict[str, Any]) -> dict[str, Any] | None:
    """Converts a pair to a row for DPO; returns None for half a pair."""
    if row["liked"] is None or row["disliked"] is None:
        return None
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": row["question"]}]
    return {
        "input": {"messages": messages},
        "preferred_output": [{"role": "assistant", "content": row["liked"]}],
        "non_preferred_output": [{"role": "assistant", "content": row["disliked"]}],
    }


# %% The same question to both models
def answer(client: Together, model: str, question: str) -> str:
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question}]
    response = client.chat.completions.create(model=model, messages=messages, temperature=0, max_tokens=2000)
    return str(response.choices[0].message.content)


def main() -> None:
    with tuning.connect("Preferences: from feedback to DPO", QUESTION, "Train a model on feedback.") as run:
        print(f"\n{len(FEEDBACK)} answers to {len(by_question())} questions have feedback")
        data = TrainingData.from_rows(pairs(by_question()), "feedback").map(preference, name="paired", reason="one_sided")
        train, validation = data.split(validation=0.2)  # pairs of one question stay together
        files = run.write(train, "train.jsonl", method="dpo"), run.write(validation, "validation.jsonl", method="dpo")
        job = run.train(*files, model=MODEL, method="dpo", dpo_beta=0.1, n_evals=1, suffix="liked")

        print(f"\nQuestion: {run.question}")
        with run.answer_of("The original model") as show:
            show(answer(run.client, MODEL, run.question))
        with run.answer_of("The tuned model") as show:
            show(answer(run.client, str(job.model), run.question))


if __name__ == "__main__":
    main()
