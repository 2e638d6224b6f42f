"""The bill: what clients count agrees with it to the token and to the cent, whatever happened on the way."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.conftest import HANG, NEVER, eventually
from tests.emulator.conftest import MODEL, WEATHER, Chat, events, joined
from together_adapters.emulator import BillRow, BillTotal, Emulator, Fault, Limits, serve
from together_adapters.emulator.http.faults import CHANGERS, DURING_UPLOAD, KINDS, RESPONDERS, STREAM_ONLY
from together_adapters.emulator.store.bill import Bill
from together_adapters.emulator.text.features import tokenize
from together_adapters.types.capabilities import capabilities

TEXT = 'Repeat after me: "one two three four five six seven eight nine ten"'
ANSWER = "one two three four five six seven eight nine ten"
REASONS = "deepseek-ai/DeepSeek-V4-Pro-0813"
EMBEDS, RANKS = "BAAI/bge-base-en-v1.5", "Salesforce/Llama-Rank-V1"
COUNTS = ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")


def counts_of(usage: dict[str, Any]) -> tuple[int, int, int, int]:
    return (
        usage["prompt_tokens"],
        (usage.get("prompt_tokens_details") or usage).get("cached_tokens") or 0,
        usage.get("completion_tokens") or 0,
        (usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0,
    )


def counts(row: BillRow | BillTotal) -> tuple[int, ...]:
    return tuple(getattr(row, name) for name in COUNTS)


def cost(usage: dict[str, Any], prices: dict[str, Any]) -> Decimal:
    """What a client computes from `usage` and the catalogue, in dollars."""
    prompt, cached, output, _ = counts_of(usage)
    amounts = ((prompt - cached, "input"), (cached, "cached_input"), (output, "output"))
    return sum((tokens * Decimal(str(prices[name])) for tokens, name in amounts), Decimal(0)) / 1_000_000


@pytest.fixture
def only_row(emulator: Emulator) -> Any:
    """Returns the one row of the bill, once no request is in progress."""

    def only_row() -> BillRow:
        assert eventually(lambda: emulator.in_flight == 0)
        (row,) = emulator.bill.rows()
        return row

    return only_row


@pytest.mark.filterwarnings("ignore::together_adapters.errors.ModelRemovedWarning")
def test_the_bill_agrees_with_what_a_client_counts(flavour: Any, emulator: Emulator) -> None:
    emulator.reset()
    client = flavour.client()
    conversation = [{"role": "system", "content": "You are a careful assistant. " * 8}, {"role": "user", "content": TEXT}]
    usages = [("chat", answer.model, answer.usage) for answer in (
        flavour.run(client.chat.completions.create(model=model, messages=conversation, **more))
        for model, more in ((MODEL, {}), (REASONS, {}), (MODEL, {"tools": [WEATHER]}), (MODEL, {"n": 3, "temperature": 1}))
    )]  # fmt: skip
    stream = flavour.run(client.chat.completions.create(model=REASONS, messages=conversation, stream=True))
    usages.append(("chat", REASONS, [chunk for chunk in flavour.iterate(stream) if chunk.usage][-1].usage))
    for kind, answer in (
        ("completion", client.completions.create(model=MODEL, prompt=TEXT)),
        ("embeddings", client.embeddings.create(model=EMBEDS, input=[TEXT, ANSWER])),
        ("rerank", client.rerank.create(model=RANKS, query=TEXT, documents=[ANSWER, "no"], method="rerank")),
    ):
        result = flavour.run(answer)
        usages.append((kind, result.model, result.usage))
    rows = emulator.bill.rows()
    assert [(row.kind, row.model, counts(row)) for row in rows] == [
        (kind, model, counts_of(usage.model_dump())) for kind, model, usage in usages
    ]
    prices = {model.id: model.pricing.model_dump() for model in flavour.run(client.models.list())}
    expected = [cost(usage.model_dump(), prices[model]) for _, model, usage in usages]
    assert [Decimal(row.picodollars or 0) / 10**12 for row in rows] == expected
    assert all(row.cost and row.status == 200 for row in rows)
    assert any(row.cached_tokens for row in rows) and any(row.reasoning_tokens for row in rows)
    total = emulator.bill.total()
    assert (total.requests, total.cost, total.without_price) == (len(rows), float(sum(expected)), 0)
    assert counts(total) == tuple(map(sum, zip(*map(counts, rows), strict=True)))
    assert flavour.run(client.usage.costs()).total == sum(expected)
    assert emulator.bill.total(kind="chat", model=REASONS).requests == 2


def test_a_row_names_its_request(emulator: Emulator, chat: Chat, only_row: Any) -> None:
    answer = chat.post(TEXT)
    assert answer.headers["x-request-id"] == answer.json()["id"] == only_row().request_id
    emulator.clear()
    assert (emulator.bill.rows(), emulator.bill.total()) == ([], BillTotal())


def test_ids_are_those_of_their_requests_when_they_arrive_together(emulator: Emulator) -> None:
    async def send() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=emulator.base_url, headers={"authorization": "Bearer k"}, verify=False) as http:
            body = {"model": MODEL, "messages": [{"role": "user", "content": "x" * 200_000}]}
            return await asyncio.gather(*(http.post("/chat/completions", json=body, timeout=HANG) for _ in range(8)))

    answers = asyncio.run(send())
    assert all(answer.headers["x-request-id"] == answer.json()["id"] for answer in answers)
    assert {row.request_id for row in emulator.bill.rows()} == {answer.json()["id"] for answer in answers}


def test_a_scripted_reply_is_billed_like_any_other(emulator: Emulator, chat: Chat, only_row: Any) -> None:
    emulator.reply({"content": ANSWER, "reasoning": "It wants numbers."})
    usage = chat.whole(TEXT, model=REASONS)["usage"]
    assert counts(only_row()) == counts_of(usage)
    assert usage["completion_tokens"] == len(tokenize(ANSWER)) + len(tokenize("It wants numbers."))


@pytest.mark.parametrize("kind", [kind for kind in RESPONDERS if kind != "too-large"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_fault_in_place_of_the_model_is_not_billed(emulator: Emulator, chat: Chat, kind: str, stream: bool) -> None:
    emulator.inject(kind)
    try:
        assert chat.post(TEXT, stream=stream).content is not None
    except httpx.RemoteProtocolError:
        assert kind == "drop"
    assert emulator.pending_faults == []
    assert eventually(lambda: emulator.in_flight == 0)
    assert emulator.bill.rows() == []


WHOLE = [Fault("cut"), Fault("bad-json"), Fault("slow", seconds=0.01), Fault("trickle", seconds=0, size=200),
         Fault("hold-open", seconds=0.01), Fault("late-error")]  # fmt: skip


@pytest.mark.parametrize("fault", WHOLE, ids=lambda fault: fault.kind)
def test_a_whole_response_is_billed_in_full_whatever_happens_to_it(
    emulator: Emulator, chat: Chat, only_row: Any, fault: Fault
) -> None:
    expected = counts_of(chat.whole(TEXT)["usage"])
    emulator.clear()
    emulator.inject(fault)
    try:
        chat.post(TEXT)
    except httpx.RemoteProtocolError:
        assert fault.kind == "cut"
        (row,) = emulator.bill.rows()  # already when the client sees the connection close
        assert counts(row) == expected
    status = 500 if fault.kind == "late-error" else 200
    assert (counts(only_row()), only_row().status, only_row().is_complete) == (expected, status, True)


COMPLETE = [Fault("cut-after-finish"), Fault("no-done", finished=True), Fault("not-sse"), Fault("slow", seconds=0.01),
            Fault("trickle", seconds=0, size=200), Fault("hold-open", seconds=0.01), Fault("crlf"), Fault("keepalive")]  # fmt: skip
INCOMPLETE = [Fault("cut", after=3), Fault("cut", after=3, reset=True), Fault("stream-error", after=3),
              Fault("stream-error-event", after=3), Fault("bad-json", after=3), Fault("cut", after=0)]  # fmt: skip


def stream_content(chat: Chat, **more: Any) -> bytes:
    """Returns what arrives of a stream."""
    data = b""
    body = {"model": MODEL, "messages": [{"role": "user", "content": TEXT}], "stream": True, **more}
    try:
        with chat.http.stream("POST", "/chat/completions", json=body) as response:
            for part in response.iter_raw():
                data += part
    except httpx.TransportError:
        pass
    return data


@pytest.mark.parametrize("fault", [*COMPLETE, Fault("no-done")], ids=lambda fault: f"{fault.kind}-{fault.finished}")
def test_a_stream_is_billed_in_full_once_all_was_sent(emulator: Emulator, chat: Chat, only_row: Any, fault: Fault) -> None:
    expected = counts_of(chat.whole(TEXT)["usage"])
    emulator.clear()
    emulator.inject(fault)
    stream_content(chat)
    assert counts(only_row()) == expected
    assert only_row().is_stream == (fault.kind != "not-sse")
    # The end of a stream without a finish reason was not sent, although all of its text was.
    assert only_row().is_complete == (fault.kind != "no-done" or fault.finished)


@pytest.mark.parametrize("fault", INCOMPLETE, ids=lambda fault: f"{fault.kind}-{fault.after}-{fault.reset}")
def test_a_cut_stream_is_billed_for_what_was_sent(emulator: Emulator, chat: Chat, only_row: Any, fault: Fault) -> None:
    usage = chat.whole(TEXT)["usage"]
    emulator.clear()
    emulator.inject(fault)
    data = stream_content(chat)
    if not fault.reset:
        assert data.count(b"chat.completion.chunk") == fault.after
    row = only_row()
    assert counts(row) == (usage["prompt_tokens"], 0, fault.after, 0)
    assert (row.is_stream, row.is_complete, row.status) == (True, False, 200)


def test_no_fault_is_forgotten() -> None:
    kinds = {fault.kind for fault in (*WHOLE, *COMPLETE, *INCOMPLETE, Fault("no-done"))}
    assert kinds == set(CHANGERS)
    assert set(CHANGERS) - STREAM_ONLY == {fault.kind for fault in WHOLE}
    assert {*RESPONDERS, *CHANGERS, DURING_UPLOAD} == set(KINDS)


@pytest.mark.parametrize(
    "behaviour", [{}, {"reasoning": "tags"}, {"tool_deltas": "whole"}, {"tool_deltas": "interleaved"}, {"chunk_tokens": 3},
                  {"pieces": 2}, {"usage": "separate"}, {"usage": "none"}],
)  # fmt: skip
@pytest.mark.parametrize(
    "body",
    [{"messages": TEXT}, {"messages": TEXT, "model": REASONS}, {"messages": "What is the weather in Oslo?", "tools": [WEATHER]}],
)
def test_a_stream_that_is_left_early_is_billed_for_what_was_sent(
    emulator: Emulator, chat: Chat, only_row: Any, body: dict[str, Any], behaviour: dict[str, Any]
) -> None:
    with emulator.behave(**behaviour):
        chunks = chat.chunks(**body)
        whole = counts(only_row())
        for after in range(0, len(chunks), 3):
            emulator.clear()
            emulator.inject(Fault("cut", after=after))
            messages = [{"role": "user", "content": body["messages"]}]
            data = stream_content(chat, **{**body, "messages": messages})
            sent = [json.loads(event.removeprefix(b"data: ")) for event in data.split(b"\n\n")[:-1]]
            so_far = joined(sent)
            texts = [so_far["text"], so_far["reasoning"], *(call["name"] + call["arguments"] for call in so_far["calls"])]
            expected = sum(len(tokenize(text)) for text in texts)
            row = only_row()
            assert row.output_tokens == expected <= whole[2]
            assert row.reasoning_tokens <= min(whole[3], expected)
            assert counts(row)[:2] == whole[:2]


def test_a_client_that_leaves(emulator: Emulator, chat: Chat, only_row: Any) -> None:
    body = {"model": MODEL, "messages": [{"role": "user", "content": TEXT}], "stream": True}
    with chat.http.stream("POST", "/chat/completions", json=body, headers={"x-emulator-behaviour": f"delay={NEVER}"}) as response:
        assert next(response.iter_raw())
    row = only_row()
    assert (row.output_tokens, row.status, row.is_complete) == (1, 200, False)
    emulator.clear()
    with pytest.raises(httpx.ReadTimeout):
        chat.http.post(
            "/chat/completions", json=body | {"stream": False}, headers={"x-emulator-behaviour": f"delay={NEVER}"}, timeout=0.2
        )
    row = only_row()
    assert (row.output_tokens, row.status, row.is_complete) == (len(tokenize(ANSWER)), None, True)  # the model has answered


def test_streamed_completions(emulator: Emulator, http: httpx.Client, only_row: Any) -> None:
    body = {"model": MODEL, "prompt": TEXT, "stream": True}
    usage = events(http.post("/completions", json=body).content)[-1]["usage"]
    assert (counts(only_row()), only_row().kind) == (counts_of(usage), "completion")
    emulator.clear()
    emulator.inject(Fault("cut", after=2))
    with pytest.raises(httpx.RemoteProtocolError):
        http.post("/completions", json=body)
    assert counts(only_row()) == (usage["prompt_tokens"], 0, 2, 0)


def test_what_the_catalogue_has_no_price_for(emulator: Emulator, http: httpx.Client) -> None:
    videos = emulator.base_url.replace("/v1", "/v2/videos")
    code = {"code": "1", "language": "python"}
    for url, body in (
        ("/images/generations", {"model": "black-forest-labs/FLUX.1-schnell", "prompt": TEXT, "width": 8, "height": 8}),
        ("/audio/speech", {"model": "hexgrad/Kokoro-82M", "input": TEXT}),
        ("/audio/speech", {"model": "hexgrad/Kokoro-82M", "input": TEXT, "stream": True, "response_format": "raw"}),
        (videos, {"model": "minimax/video-01-director", "prompt": TEXT}),
        ("/tci/execute", code),
    ):
        assert http.post(url, json=body).status_code == 200
    assert http.post("/audio/translations", files={"file": ("a.wav", b"123")}).status_code == 200
    rows = emulator.bill.rows()
    assert [row.kind for row in rows] == ["image", "speech", "speech", "video", "code", "transcription"]
    assert [row.model for row in rows][::5] == ["black-forest-labs/FLUX.1-schnell", "openai/whisper-large-v3"]
    assert {(row.cost, counts(row)) for row in rows} == {(None, (0, 0, 0, 0))}
    total = emulator.bill.total()
    assert (total.requests, total.without_price, total.cost) == (6, 6, 0.0)


def test_a_fine_tune_costs_its_price() -> None:
    row = {"messages": [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello!" * 5_000}]}
    with (
        serve(job_seconds=0.1) as emulator,
        httpx.Client(base_url=emulator.base_url, headers={"authorization": "Bearer k"}, timeout=HANG, verify=False) as http,
    ):
        file = emulator._state.stores.files.generate("t.jsonl", "fine-tune", json.dumps(row).encode() + b"\n").id
        model = "meta-llama/Meta-Llama-3.1-8B-Instruct-Reference"
        job = http.post("/fine-tunes", json={"training_file": file, "model": model, "n_epochs": 3}).json()
        (billed,) = emulator.bill.rows()
        assert (billed.kind, billed.model, billed.status) == ("fine-tune", model, 200)
        assert billed.picodollars == job["total_price"] * 1_000
        assert billed.input_tokens == job["token_count"]


def test_the_lines_of_a_batch_are_billed_and_not_limited() -> None:
    bodies = [{"messages": [{"role": "user", "content": f"Say {word}."}]} for word in ("one", "two", "three")]
    lines = [{"custom_id": str(index), "body": {"model": MODEL, **body}} for index, body in enumerate(bodies)]
    lines.append({"custom_id": "bad", "body": {"model": MODEL, "messages": []}})
    data = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    with (
        serve(job_seconds=0.1, limits=Limits(requests_per_minute=1, window=60)) as emulator,
        httpx.Client(base_url=emulator.base_url, headers={"authorization": "Bearer k"}, timeout=HANG, verify=False) as http,
    ):
        file = emulator._state.stores.files.generate("b.jsonl", "batch-api", data).id
        job = http.post("/batches", json={"input_file_id": file, "endpoint": "/v1/chat/completions"}).json()["job"]
        assert eventually(lambda: http.get(f"/batches/{job['id']}").json()["status"] == "COMPLETED")
        output_id = http.get(f"/batches/{job['id']}").json()["output_file_id"]
        output = http.get(f"/files/{output_id}/content").text
        answers = [json.loads(line)["response"]["body"] for line in output.splitlines()]
        rows = {row.request_id: row for row in emulator.bill.rows()}
        assert {answer["id"] for answer in answers} == rows.keys()
        assert all(counts(rows[answer["id"]]) == counts_of(answer["usage"]) for answer in answers)
        assert {(row.kind, row.model, row.status) for row in rows.values()} == {("batch", MODEL, 200)}
        assert http.post("/chat/completions", json=lines[0]["body"]).headers["x-ratelimit-remaining"] == "0"


def test_totals_have_all_rows_and_the_list_the_last() -> None:
    bill = Bill(keep=2)
    for tokens in range(1, 5):
        bill.add(BillRow("chat", MODEL, tokens, 0, 0, 0, tokens, 200, str(tokens)), bill.edition)
    assert [row.request_id for row in bill.rows()] == ["3", "4"]
    assert (bill.total().requests, bill.total().input_tokens, bill.total().cost) == (4, 10, 10e-12)


def test_a_price_is_exact() -> None:
    usage = {"prompt_tokens": 1_000_003, "completion_tokens": 7, "cached_tokens": 3}
    for name, input, cached, output in (
        ("arcee-ai/trinity-mini", 45_000, 45_000, 150_000),
        (REASONS, 1_320_000, 130_000, 3_960_000),
    ):
        facts = capabilities(name)
        assert Bill().picodollars(name, facts, usage) == 1_000_000 * input + 3 * cached + 7 * output


def test_a_request_of_before_is_not_in_a_bill_that_was_cleared() -> None:
    bill = Bill()
    edition = bill.edition
    bill.clear()
    bill.add(BillRow("chat", MODEL, 1, 0, 0, 0, 1, 200, "x"), edition)
    assert bill.total().requests == 0
