# /// script
# requires-python = ">=3.11"
# dependencies = ["together-adapters[emulator,finetune]", "tqdm"]
#
# [tool.uv.sources]
# together-adapters = { path = "..", editable = true }
# ///
"""Train a reasoning model on rows that keep their reasoning.

A reasoning model that is trained on answers alone loses its reasoning. You learn how to keep reasoning in a field of its own, how to
write the same rows for a model without reasoning, and how to read both parts of an answer.

It prints the reports of the files with and without reasoning, the job, and the reasoning and the answers before and after.

With `TOGETHER_API_KEY` set, it starts a training job, which costs money: with this little data a dollar or less. The price is
shown before it starts and must be confirmed (`--yes` confirms it). The models that can be trained change: set `MODEL` to a reasoning model.
Without a key, it runs on the emulator, where nothing costs anything and a tuned model gives the reasoning and the answer
of its nearest training row.

    uv run cookbook/finetune_reasoning.py --folder reasoning
"""

from __future__ import annotations

import tuning

from together_adapters import Together
from together_adapters.finetune import Fixes, from_messages

MODEL = "Qwen/Qwen3.5-9B"
QUESTION = "A kettle was bought 20 months ago and leaks. Does the shop repair it?"
SYSTEM = "You decide about warranty claims. Decide yes or no, then say what happens next."
CASES = [
    # the claim, the reasoning, the answer
    (
        "A kettle was bought 20 months ago. It leaks.",
        "Bought 20 months ago, the warranty is 24: covered. A leak is no wear. So: repair.",
        "Yes. Send the kettle in; we repair it free of charge.",
    ),
    (
        "A radio was bought 30 months ago. It is silent.",
        "Bought 30 months ago, the warranty is 24: over. So: no, but an offer.",
        "No, the warranty has ended. We can offer a repair for 25 EUR.",
    ),
    (
        "A lamp was bought 3 months ago. The bulb is burnt out.",
        "Bought 3 months ago: covered. But a bulb is a wearing part, which the warranty leaves out. So: no.",
        "No, bulbs wear out. We send you two new ones at half the price.",
    ),
    (
        "A toaster was bought 6 months ago. It was dropped.",
        "Bought 6 months ago: covered. But a fall is the owner's fault. So: no.",
        "No, a fall is not covered. We can look at what a repair would cost.",
    ),
    (
        "A mixer was bought 23 months ago. The motor smells of burning.",
        "Bought 23 months ago, the warranty is 24: covered. A smell of burning is a danger: replace, do not repair.",
        "Yes. Do not use the mixer any more; a new one is on its way.",
    ),
    (
        "An iron was bought 25 months ago; it was in repair for 2 of them.",
        "Bought 25 months ago, the warranty is 24, and the repair does not count: 23. Covered.",
        "Yes. Your warranty was extended by the repair; send the iron in.",
    ),
]


def conversations() -> list[list[dict[str, str]]]:
    """Builds conversations from the cases. Reasoning is a field of its own, not tags in the content."""
    return [
        [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": claim},
            {"role": "assistant", "reasoning": reasoning, "content": verdict},
        ]
        for claim, reasoning, verdict in CASES
    ]


def answer(client: Together, model: str, question: str) -> str:
    """Asks a model; returns its reasoning and its answer."""
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question}]
    message = client.chat.completions.create(model=model, messages=messages, temperature=0, max_tokens=2000).choices[0].message
    reasoning = message.reasoning or message.reasoning_content or "none"
    return f"reasoning: {reasoning}\nanswer:    {message.content}"


def main() -> None:
    with tuning.connect("Reasoning: rows that keep it", QUESTION, "Train a model that reasons.") as run:
        data = from_messages(conversations(), name="warranty cases")
        run.write(data, "without.jsonl", fixes=Fixes(reasoning="drop"))  # for a model without reasoning
        prepared = run.write(data, "train.jsonl")
        job = run.train(prepared, model=MODEL, suffix="warranty", n_epochs=3)

        print(f"\nQuestion: {run.question}")
        with run.answer_of("The original model") as show:
            show(answer(run.client, MODEL, run.question))
        with run.answer_of("The tuned model") as show:
            show(answer(run.client, str(job.model), run.question))


if __name__ == "__main__":
    main()
