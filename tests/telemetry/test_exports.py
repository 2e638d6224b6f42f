"""Spans that leave the process: over OTLP to a collector, as JSON lines, and back into rows of training data."""

from __future__ import annotations

import gzip
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from tests.conftest import KEY, Flavour
from tests.finetune.formats.reading import examples, refusals
from tests.telemetry.conftest import Recording
from tests.telemetry.test_spans import TOOL
from together_adapters import Together
from together_adapters.emulator import Emulator
from together_adapters.finetune import load

PAGE = Path(__file__).parents[2] / "docs" / "telemetry.md"
MODEL = "openai/gpt-oss-120b"
CALL = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Rome"}'}}
HISTORY: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "How is the weather in Rome?"},
    {"role": "assistant", "content": None, "tool_calls": [CALL], "reasoning": "I look it up."},
    {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
]
ROW = {
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "How is the weather in Rome?"},
        {"role": "assistant", "reasoning": "I look it up.", "tool_calls": [CALL]},
        {"role": "tool", "content": "sunny", "tool_call_id": "call_1"},
        {"role": "assistant", "reasoning": "The tool says so.", "content": "It is sunny."},
    ],
    "tools": [TOOL],
}


class Collector:
    """A receiver of OTLP over HTTP, as a collector is one."""

    def __init__(self) -> None:
        self.documents: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        documents, headers, paths = self.documents, self.headers, self.paths

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                from google.protobuf.json_format import MessageToDict
                from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

                body = self.rfile.read(int(self.headers["content-length"]))
                data = gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body
                documents.append(MessageToDict(ExportTraceServiceRequest.FromString(data)))
                headers.append(dict(self.headers))
                paths.append(self.path)
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    collector = Collector()
    yield collector
    collector.close()


def converse(flavour: Flavour, emulator: Emulator) -> None:
    """Sends a conversation with tools and reasoning twice, whole and streamed; embeddings and a call that fails stand between."""
    emulator.reply({"content": "It is sunny.", "reasoning": "The tool says so."}, times=2)
    client = flavour.client(max_retries=0)
    params = {"model": MODEL, "messages": HISTORY, "tools": [TOOL]}
    flavour.run(client.chat.completions.create(**params))
    flavour.run(client.embeddings.create(model="BAAI/bge-base-en-v1.5", input="a"))
    emulator.inject("500")
    with pytest.raises(Exception, match="500"):
        flavour.run(client.chat.completions.create(**params))
    list(flavour.iterate(flavour.run(client.chat.completions.create(**params, stream=True))))


def rows(path: Path) -> list[Any]:
    data = load(path)
    assert {refusal.code for refusal in refusals(data)} <= {"run_not_of_model", "run_failed"}
    return [example.row for example in examples(data)]


def test_spans_reach_a_collector_and_become_rows(
    recording_content: Recording, collector: Collector, flavour: Flavour, emulator: Emulator, tmp_path: Path
) -> None:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    exporter = OTLPSpanExporter(f"{collector.url}/v1/traces", headers={"x-api-key": "of-the-backend"})
    recording_content.tracer_provider.add_span_processor(BatchSpanProcessor(exporter))
    converse(flavour, emulator)
    assert recording_content.tracer_provider.force_flush()
    assert {headers["x-api-key"] for headers in collector.headers} == {"of-the-backend"}
    assert KEY not in json.dumps([collector.documents, collector.headers])
    path = tmp_path / "export.jsonl"
    path.write_text("".join(json.dumps(document) + "\n" for document in collector.documents), "utf-8")
    assert rows(path) == [ROW, ROW]


BACKENDS = {
    "Plain OTLP": ("/v1/traces", {}),
    "Langfuse": (
        "/api/public/otel/v1/traces",
        {"authorization": "Basic cGstbGYtLi4uOnNrLWxmLS4uLg==", "x-langfuse-ingestion-version": "4"},
    ),
    "LangSmith": ("/otel/v1/traces", {"x-api-key": "lsv2_pt_example", "langsmith-project": "my-project"}),
    "Phoenix": ("/v1/traces", {}),
}


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_settings_of_the_page(
    recording: Recording, collector: Collector, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    """The page's code and variables, with the host of the receiver in place of the backend's."""
    page = PAGE.read_text("utf-8")
    section = page.partition(f"## {backend}\n")[2].partition("\n## ")[0]
    for name, value in re.findall(r"^export (\w+)=(.*)$", section, re.MULTILINE):
        monkeypatch.setenv(name, re.sub(r"^https?://[^/]+", collector.url, value))
    (code,) = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, PAGE.name, "exec"), names)
    with Together(api_key=KEY, base_url=emulator.base_url) as client:
        client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Say hello to Ann."}])
    names["provider"].shutdown()
    path, headers = BACKENDS[backend]
    assert collector.paths == [path]
    assert {name.lower(): value for name, value in collector.headers[0].items()}.items() >= headers.items()
    ((resource,)) = collector.documents[0]["resourceSpans"]
    assert resource["scopeSpans"][0]["spans"][0]["name"] == f"chat {MODEL}"


def test_spans_as_json_lines_become_rows(
    recording_content: Recording, flavour: Flavour, emulator: Emulator, tmp_path: Path
) -> None:
    converse(flavour, emulator)
    path = tmp_path / "spans.jsonl"
    path.write_text("".join(span.to_json(indent=None) + "\n" for span in recording_content.spans), "utf-8")
    assert rows(path) == [ROW, ROW]


@pytest.mark.parametrize("streams", [False, True])
def test_refusals_become_rows(recording_content: Recording, flavour: Flavour, emulator: Emulator, streams: bool) -> None:
    emulator.reply({"content": None, "refusal": "I cannot.", "reasoning": "It is not allowed."})
    question = {"model": MODEL, "messages": HISTORY[:2]}
    result = flavour.run(flavour.client().chat.completions.create(**question, stream=streams))
    if streams:
        list(flavour.iterate(result))
    (example,) = examples(load(recording_content.spans))
    answer = {"role": "assistant", "reasoning": "It is not allowed.", "content": "I cannot."}
    assert example.row["messages"] == [*HISTORY[:2], answer]
    assert example.changed == ("refusal_is_content",)


def test_documents_with_the_names_of_protobuf_become_rows(recording_content: Recording, emulator: Emulator) -> None:
    common = pytest.importorskip("opentelemetry.exporter.otlp.proto.common.trace_encoder")
    from google.protobuf.json_format import MessageToDict

    emulator.reply({"content": "It is sunny.", "reasoning": "The tool says so."})
    with Together(api_key=KEY, base_url=emulator.base_url) as client:
        client.chat.completions.create(model=MODEL, messages=HISTORY, tools=[TOOL])
    document = MessageToDict(common.encode_spans(recording_content.spans), preserving_proto_field_name=True)
    assert [example.row for example in examples(load([document]))] == [ROW]


def test_completions_and_media_become_rows(
    recording_content: Recording, flavour: Flavour, emulator: Emulator, tmp_path: Path
) -> None:
    url = "data:image/png;base64,iVBORw0KGgo="
    content = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": url}}]
    emulator.reply("A pixel.")
    client = flavour.client()
    messages = [{"role": "user", "name": "ann", "content": content}]
    flavour.run(client.chat.completions.create(model="Qwen/Qwen3.5-9B", messages=messages))
    completion = flavour.run(client.completions.create(model="acme/any", prompt="Say hello to Ann."))
    path = tmp_path / "spans.jsonl"
    path.write_text("".join(span.to_json(indent=None) + "\n" for span in recording_content.spans), "utf-8")
    chat, text = rows(path)
    assert chat["messages"][0] == messages[0]
    assert chat["messages"][1] == {"role": "assistant", "content": [{"type": "text", "text": "A pixel."}]}
    assert text["messages"] == [
        {"role": "user", "content": "Say hello to Ann."},
        {"role": "assistant", "content": completion.choices[0].text},
    ]
