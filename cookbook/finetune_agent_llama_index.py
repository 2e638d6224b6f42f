# /// script
# requires-python = ">=3.11"
# dependencies = ["together-adapters[llama-index,emulator,finetune]", "tqdm"]
#
# [tool.uv.sources]
# together-adapters = { path = "..", editable = true }
# ///
"""Train a small model on the traces of an agent: LlamaIndex's FunctionAgent, recorded by an event handler, and tuned.

A large model with a manual in every request knows which tool to call. You learn how to record all LLM calls of a program, how to
convert the traces to rows for training and validation, how to train a small model on them, and how to use it in the same agent:
it calls the right tools without the manual, and its prompts have fewer tokens. For conversations that you already have, use
`from_llama_index` of the same module.

It prints the recording, the report of the rows, the job, and the answers of an agent on the small model before and after.

With `TOGETHER_API_KEY` set, it sends about 25 requests to the large model and starts a training job, which costs money: with this
little data a dollar or less. The price is shown before it starts and must be confirmed (`--yes` confirms it). Without a key, it
runs on the emulator, where nothing costs anything and a tuned model gives the answer of its nearest training row.

    uv run cookbook/finetune_agent_llama_index.py --folder traces
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import tuning
from llama_index.core.agent.workflow import AgentOutput, FunctionAgent, ToolCallResult
from llama_index.core.tools import FunctionTool
from llama_index_together_adapters import TogetherLLM
from llama_index_together_adapters.finetuning import FinetuneRecorder

from together_adapters.finetune import Job, TrainingData

TEACHER = "openai/gpt-oss-120b"
STUDENT, CONTEXT = "Qwen/Qwen3.5-9B", 262_144
QUESTION = "They praise the book 'Middlemarch'. Is it available, or taken?"
SEED = 2
SYSTEM = "You are at the desk of a library. Use tools for every fact. Answer in one or two sentences."
REQUESTS = [
    "Is the book 'Middlemarch' available, or is it taken?",
    "Is the novel 'Solaris' on the shelf?",
    "Can I borrow the book 'Kokoro', or is it taken?",
    "Is the novel 'Effi Briest' available to borrow?",
    "Please renew the loans on card 5521.",
    "My books are due tomorrow. Can I keep them for longer? My card is 5530.",
    "Extend the loans of card 5544, please.",
    "I need more time for my books, card 5551.",
    "You do not have 'Sagarana'. Could another library send a copy?",
    "Order a copy of 'Pan' from another library for me.",
    "Please have 'Niels Lyhne' sent from another library.",
    "When was this house built?",
]


# %% The tools, under the names that the library's old systems gave them
async def opac_q(title: str) -> str:
    """Catalogue."""
    return f"There are two copies of {title}, one of them on the shelf 4 C."


async def circ_rn(card: int) -> str:
    """Circulation."""
    return f"All loans on card {card} are now due on 14 December."


async def ill_req(title: str) -> str:
    """Interlibrary."""
    return f"A copy of {title} comes from Aarhus within a week."


TOOLS: dict[Callable[..., Awaitable[str]], str] = {
    opac_q: "Look a book up. Take this if somebody asks whether a book or novel is on the shelf, available to borrow, or taken.",
    circ_rn: "Renew loans. Take this when somebody wants to renew or extend loans, keep books for longer, or needs more time.",
    ill_req: "Get a copy from another library. Take this when we do not have a title and somebody wants it sent.",
}


# %% The agent, with the manual and without
def build_agent(llm: TogetherLLM, *, manual: bool = False) -> FunctionAgent:
    """Builds an agent whose tools have the descriptions of the manual, or only short ones."""
    tools = [
        FunctionTool.from_defaults(async_fn=tool, description=description if manual else str(tool.__doc__))
        for tool, description in TOOLS.items()
    ]
    return FunctionAgent(tools=tools, llm=llm, system_prompt=SYSTEM)


async def record(run: tuning.TuningRun, teacher: str) -> None:
    """Runs the large model with the manual."""
    async with run.async_client() as client:
        agent = build_agent(TogetherLLM(teacher, temperature=0, async_client=client), manual=True)
        limit = asyncio.Semaphore(4)

        async def run_agent(question: str) -> None:
            async with limit:
                await agent.run(question)

        await asyncio.gather(*map(run_agent, REQUESTS))


# %% From traces to rows
def build_rows(recorder: FinetuneRecorder) -> TrainingData:
    """Builds a row from each complete conversation with a tool call, with the tool descriptions that the small model will get."""
    descriptions = {str(tool.__name__): tool.__doc__ for tool in TOOLS}

    def without_manual(row: dict[str, Any]) -> dict[str, Any]:
        for tool in row["tools"]:
            tool["function"]["description"] = descriptions[tool["function"]["name"]]
        return row

    return (
        recorder.data()  # the last answer of a conversation contains the messages before it
        .filter(lambda row: any("tool_calls" in message for message in row["messages"]), reason="no_call")
        .map(without_manual, name="manual_left_out")
        .dedupe()
    )


# %% The same agent on both models
async def describe(agent: FunctionAgent, question: str) -> str:
    """Asks an agent; returns its tool calls, its answer and the number of prompt tokens."""
    handler = agent.run(question)
    calls, prompt_tokens = [], 0
    async for event in handler.stream_events():
        if isinstance(event, ToolCallResult):
            calls.append(f"{event.tool_name}({', '.join(map(repr, event.tool_kwargs.values()))})")
        elif isinstance(event, AgentOutput) and event.raw:
            prompt_tokens += (event.raw.get("usage") or {}).get("prompt_tokens", 0)
    answer: AgentOutput = await handler
    return f"calls:  {', '.join(calls) or 'none'}\nanswer: {answer.response.content}\nprompt: {prompt_tokens:,} tokens"


async def compare(run: tuning.TuningRun, job: Job, teacher: str) -> None:
    """Asks three agents the same question."""
    async with run.async_client() as client:
        large_model = TogetherLLM(teacher, temperature=0, async_client=client)
        small_model = TogetherLLM(STUDENT, temperature=0, context_window=CONTEXT, async_client=client)
        tuned_model = job.llama_llm(temperature=0, context_window=CONTEXT, async_client=client)
        with run.answer_of("The large model, with the manual") as show:
            show(await describe(build_agent(large_model, manual=True), run.question))
        with run.answer_of("The small model, without it") as show:
            show(await describe(build_agent(small_model), run.question))
        with run.answer_of("The tuned model, without it") as show:
            show(await describe(build_agent(tuned_model), run.question))


def main() -> None:
    title = "LlamaIndex: from an agent's traces to a tuned model"
    with tuning.connect(title, QUESTION, "Train a small model for a library.") as run:
        teacher = run.chat_model(TEACHER)
        with FinetuneRecorder(run.folder / "traces.jsonl") as recorder:
            asyncio.run(record(run, teacher))
        print(f"\nRecorded {recorder.counts['written']} answers of {teacher}")
        # The split depends on the question and the seed alone, so it is the same in every run.
        train, validation = build_rows(recorder).split(validation=0.2, by="prompt", seed=SEED)
        prepared = run.write(train, "train.jsonl"), run.write(validation, "validation.jsonl")
        job = run.train(*prepared, model=STUDENT, suffix="library", n_epochs=3, n_evals=3)
        print(f"\nQuestion: {run.question}")
        asyncio.run(compare(run, job, teacher))


if __name__ == "__main__":
    main()
