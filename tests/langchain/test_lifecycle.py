"""Secrets, copies, loops, threads, cancellation: how adapters live in real programs."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler, UsageMetadataCallbackHandler
from langchain_core.load import dumpd, dumps
from langchain_core.messages import HumanMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.rate_limiters import BaseRateLimiter
from langchain_together_adapters import ChatTogether, Together, TogetherEmbeddings, TogetherRerank, load

from tests.conftest import NEVER, eventually, eventually_async
from together_adapters import ConfigurationError
from together_adapters.emulator import Emulator
from together_adapters.types.capabilities import MODELS

KINDS = [ChatTogether, Together, TogetherEmbeddings, TogetherRerank]
SECRET = "sk-secret-0123456789abcdef"
HEADER = "header-secret-0123456789"


def use(adapter: Any) -> Any:
    if isinstance(adapter, TogetherEmbeddings):
        return adapter.embed_query("x")
    if isinstance(adapter, TogetherRerank):
        return adapter.rerank(["x", "y"], "x")
    return adapter.invoke("x")


async def ause(adapter: Any) -> Any:
    if isinstance(adapter, TogetherEmbeddings):
        return await adapter.aembed_query("x")
    if isinstance(adapter, TogetherRerank):
        return await adapter.arerank(["x", "y"], "x")
    return await adapter.ainvoke("x")


class TestSecrets:
    @pytest.mark.parametrize("kind", KINDS)
    def test_never_shown(self, kind: Any, emulator: Emulator) -> None:
        adapter = kind(api_key=SECRET, base_url=emulator.base_url, default_headers={"x-gateway": HEADER})
        texts = [
            repr(adapter),
            str(adapter),
            str(adapter.model_dump()),
            adapter.model_dump_json(),
            dumps(adapter),
            str(dumpd(adapter)),
        ]
        if isinstance(adapter, ChatTogether | Together):
            texts += [str(adapter._identifying_params), str(adapter.asdict()), str(adapter._get_ls_params())]
            texts += [str(adapter._get_invocation_params())] if isinstance(adapter, ChatTogether) else []
        assert not [text for text in texts if SECRET in text or HEADER in text]

    def test_not_in_traces(self, emulator: Emulator) -> None:
        records: list[str] = []

        class Watch(BaseCallbackHandler):
            def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
                records.append(str((args, kwargs)))

            def on_llm_error(self, *args: Any, **kwargs: Any) -> None:
                records.append(str((args, kwargs)))

            def on_llm_end(self, *args: Any, **kwargs: Any) -> None:
                records.append(str((args, kwargs)))

        llm = ChatTogether(api_key=SECRET, base_url=emulator.base_url, default_headers={"x-gateway": HEADER}, max_retries=0)
        llm.invoke("x", config={"callbacks": [Watch()]})
        emulator.inject("echo-key")
        with pytest.raises(Exception, match="redacted"):
            llm.invoke("x", config={"callbacks": [Watch()]})
        assert len(records) == 4
        assert not [text for text in records if SECRET in text or HEADER in text]

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_key_of_the_environment_is_not_pickled(self, kind: Any, emulator: Emulator, monkeypatch: Any) -> None:
        monkeypatch.setenv("TOGETHER_API_KEY", SECRET)
        adapter = kind(base_url=emulator.base_url)
        use(adapter)
        for duplicate in (adapter, copy.deepcopy(adapter), adapter.model_copy()):
            data = pickle.dumps(duplicate)
            assert SECRET.encode() not in data
        monkeypatch.setenv("TOGETHER_API_KEY", "another")
        use(pickle.loads(data))
        assert emulator.requests[-1].headers["authorization"] == "Bearer another"
        monkeypatch.delenv("TOGETHER_API_KEY")
        with pytest.raises(ConfigurationError, match="TOGETHER_API_KEY"):
            use(pickle.loads(data))

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_key_that_was_passed_in_is_pickled(self, kind: Any, emulator: Emulator) -> None:
        adapter = kind(api_key=SECRET, base_url=emulator.base_url)
        use(adapter)
        for duplicate in (pickle.loads(pickle.dumps(adapter)), copy.deepcopy(adapter), copy.copy(adapter)):
            use(duplicate)
            assert emulator.requests[-1].headers["authorization"] == f"Bearer {SECRET}"


class TestSerialization:
    @pytest.mark.parametrize("kind", [ChatTogether, Together])
    def test_round_trip(self, kind: Any, connect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        llm = kind(temperature=0.5, top_k=3, **connect)
        dump = dumpd(llm)
        assert dump["id"] == ["langchain_together_adapters", kind.__module__.split(".")[1], kind.__name__]
        assert dump["kwargs"]["together_api_key"] == {"lc": 1, "type": "secret", "id": ["TOGETHER_API_KEY"]}
        monkeypatch.setenv("TOGETHER_API_KEY", "k")
        again = load(dump)
        assert type(again) is kind
        assert again.asdict() == llm.asdict()
        assert load(dump, secrets_map={"TOGETHER_API_KEY": "z"}).together_api_key.get_secret_value() == "z"

    def test_chains(self, connect: Any) -> None:
        chain = ChatPromptTemplate.from_messages([("human", "Say {word}.")]) | ChatTogether(**connect)
        again = load(dumpd(chain), secrets_map={"TOGETHER_API_KEY": "k"})
        assert again.invoke({"word": "hello"}).content

    def test_no_other_class(self) -> None:
        data = {"lc": 1, "type": "constructor", "id": ["subprocess", "Popen"], "kwargs": {"args": ["true"]}}
        with pytest.raises(ValueError, match=r"(?i)not allowed|invalid namespace"):
            load(data)

    def test_two_endpoints_share_no_cache(self, emulator: Emulator) -> None:
        cache = InMemoryCache()
        first_llm = ChatTogether(api_key="k", base_url=emulator.base_url, cache=cache)
        second_llm = ChatTogether(api_key="k", base_url=emulator.base_url.removesuffix("/v1"), cache=cache)
        warm = ChatTogether(api_key="k", base_url=emulator.base_url, cache=cache, top_k=3)
        first_llm.invoke("x")
        first_llm.invoke("x")
        assert len(emulator.requests) == 1
        warm.invoke("x")
        second_llm.invoke("x")
        assert len(emulator.requests) == 3


class TestLoops:
    @pytest.mark.parametrize("kind", KINDS)
    def test_two_runs_on_one_adapter(self, kind: Any, connect: Any) -> None:
        adapter = kind(**connect)
        for _ in range(2):
            assert asyncio.run(ause(adapter))
        assert use(adapter)

    def test_streams_in_two_runs(self, connect: Any) -> None:
        llm = ChatTogether(**connect)

        async def stream() -> str:
            return "".join([chunk.text async for chunk in llm.astream("x")])

        assert asyncio.run(stream()) == asyncio.run(stream())

    def test_threads(self, connect: Any, emulator: Emulator) -> None:
        llm = ChatTogether(**connect)
        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(lambda n: llm.invoke(f"Say {n}.").content, range(24)))
        assert len(answers) == 24
        assert len({request.connection for request in emulator.requests}) <= 8

    async def test_close(self, connect: Any) -> None:
        llm = ChatTogether(**connect)
        llm.invoke("x")
        await llm.ainvoke("x")
        llm.close()
        await llm.aclose()
        with pytest.raises(ConfigurationError, match="closed"):
            llm.invoke("x")


class TestLeavingEarly:
    def test_stream(self, llm: ChatTogether, emulator: Emulator) -> None:
        with emulator.behave(delay=0.02):
            stream: Any = llm.stream("Tell me a long story.")
            next(stream)
            stream.close()
            assert eventually(lambda: emulator.disconnects == 1 and not emulator.in_flight)

    def test_forgotten_stream(self, llm: ChatTogether, emulator: Emulator) -> None:
        with emulator.behave(delay=0.02):
            stream: Any = llm.stream("Tell me a long story.")
            next(stream)
            del stream
            gc.collect()
            assert eventually(lambda: emulator.disconnects == 1)

    def test_completion_stream(self, completer: Together, emulator: Emulator) -> None:
        with emulator.behave(delay=0.02):
            stream: Any = completer.stream("Tell me a long story.")
            next(stream)
            stream.close()
            assert eventually(lambda: emulator.disconnects == 1)

    async def test_astream(self, llm: ChatTogether, emulator: Emulator) -> None:
        with emulator.behave(delay=0.02):
            stream: Any = llm.astream("Tell me a long story.")
            await anext(stream)
            await stream.aclose()
            assert await eventually_async(lambda: emulator.disconnects == 1)

    @pytest.mark.parametrize("way", ["ainvoke", "astream", "events"])
    async def test_cancellation(self, way: str, llm: ChatTogether, emulator: Emulator) -> None:
        async def work() -> None:
            if way == "ainvoke":
                await llm.ainvoke("x")
            elif way == "astream":
                async for _ in llm.astream("x"):
                    pass
            else:
                async for _ in llm._astream_chat_model_events([HumanMessage("x")]):
                    pass

        with emulator.behave(delay=NEVER):
            task = asyncio.create_task(work())
            assert await eventually_async(lambda: emulator.in_flight == 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert await eventually_async(lambda: emulator.in_flight == 0)
        assert emulator.disconnects == 1
        assert (await llm.ainvoke("x")).content


class TestFramework:
    def test_the_rate_limiter_is_acquired_once(self, connect: Any) -> None:
        class Count(BaseRateLimiter):
            count = 0

            def acquire(self, *, blocking: bool = True) -> bool:
                self.count += 1
                return True

            async def aacquire(self, *, blocking: bool = True) -> bool:
                self.count += 1
                return True

        limiter = Count()
        llm = ChatTogether(**connect, rate_limiter=limiter)
        llm.invoke("x")
        assert limiter.count == 1
        list(llm.stream("x"))
        assert limiter.count == 2
        asyncio.run(llm.ainvoke("x"))
        assert limiter.count == 3

    async def test_batches_keep_to_max_concurrency(self, connect: Any, emulator: Emulator) -> None:
        llm = ChatTogether(**connect)
        with emulator.behave(delay=0.02):
            await llm.abatch([f"Say {n}." for n in range(12)], config={"max_concurrency": 3})
            llm.batch([f"Say {n}." for n in range(6)], config={"max_concurrency": 2})
        await llm.aclose()
        # One that is answered may still be counted when the next arrives.
        assert emulator.most_in_flight <= 6
        assert len(emulator.requests) == 18

    def test_usage_is_summed_over_a_batch(self, llm: ChatTogether, completer: Together) -> None:
        result = llm.generate([[HumanMessage("Say one.")], [HumanMessage("Say two.")]])
        single = [generation[0].message.usage_metadata["total_tokens"] for generation in result.generations]  # type: ignore[attr-defined]
        assert result.llm_output is not None
        assert result.llm_output["token_usage"]["total_tokens"] == sum(single)
        assert result.llm_output["model_name"] == llm.model_name
        single = completer.generate(["Say one.", "Say two."])
        assert single.llm_output is not None
        counts = [generation[0].generation_info["token_usage"]["total_tokens"] for generation in single.generations]  # type: ignore[index]
        assert single.llm_output["token_usage"]["total_tokens"] == sum(counts)

    async def test_the_usage_callback(self, llm: ChatTogether) -> None:
        usage = UsageMetadataCallbackHandler()
        llm.invoke("x", config={"callbacks": [usage]})
        list(llm.stream("x", config={"callbacks": [usage]}))
        usage_total = usage.usage_metadata[llm.model_name]
        assert usage_total["total_tokens"] == usage_total["input_tokens"] + usage_total["output_tokens"] > 0

    def test_invoke_streams_with_streaming_set(self, connect: Any, emulator: Emulator) -> None:
        tokens: list[Any] = []

        class Watch(BaseCallbackHandler):
            def on_llm_new_token(self, token: Any, **_: Any) -> None:
                tokens.append(token)

        message = ChatTogether(**connect, streaming=True).invoke("x", config={"callbacks": [Watch()]})
        assert emulator.requests[-1].json["stream"] is True
        assert "".join(tokens) == message.content
        assert message.usage_metadata
        ChatTogether(**connect).invoke("x", stream=True)
        assert emulator.requests[-1].json["stream"] is True
        list(ChatTogether(**connect, disable_streaming=True).stream("x"))
        assert "stream" not in emulator.requests[-1].json

    async def test_a_graph_gets_native_events(self, llm: ChatTogether) -> None:
        from langchain_core.tracers._streaming import _V2StreamingCallbackHandler

        records: list[Any] = []

        class Watch(BaseCallbackHandler, _V2StreamingCallbackHandler):
            def on_stream_event(self, event: Any, **_: Any) -> None:
                records.append(event["event"])

        message = llm.invoke("Say hello.", config={"callbacks": [Watch()]})
        assert (records[0], records[-1]) == ("message-start", "message-finish")
        assert message.text
        assert message.usage_metadata

    def test_token_counts_need_no_network(self, llm: ChatTogether, emulator: Emulator) -> None:
        from langchain_core.messages import trim_messages

        def tool(city: str) -> str:
            """Get the weather of a city."""
            return city

        assert 2 <= llm.get_num_tokens("Hello there, how are you?") <= 10
        assert llm.get_num_tokens("漢字" * 30) > 30
        alone = llm.get_num_tokens_from_messages([HumanMessage("Hello")])
        assert llm.get_num_tokens_from_messages([HumanMessage("Hello")], tools=[tool]) > alone
        long = [HumanMessage("word " * 100) for _ in range(10)]
        assert len(trim_messages(long, max_tokens=300, token_counter=llm, strategy="last")) < 10
        custom = ChatTogether(api_key="k", custom_get_token_ids=lambda text: [1] * len(text))
        assert custom.get_num_tokens("abc") == 3
        assert custom.get_num_tokens_from_messages([HumanMessage("abc")], tools=[tool]) > 50
        assert emulator.requests == []

    def test_profiles(self, llm: ChatTogether, connect: Any) -> None:
        assert llm.profile is not None
        assert (llm.profile["max_input_tokens"], llm.profile["tool_calling"], llm.profile["structured_output"]) == (
            1_048_576,
            True,
            True,
        )
        unknown = ChatTogether(model="someone/anything", **connect).profile
        assert unknown is not None
        assert (unknown["tool_calling"], unknown["structured_output"]) == (True, False)
        mine = ChatTogether(**connect, profile={"max_input_tokens": 5})
        assert mine.profile == {"max_input_tokens": 5}
        assert mine.refresh_profile()["max_input_tokens"] > 5

    def test_a_profile_says_what_somebody_says(self, connect: Any, emulator: Emulator) -> None:
        from langchain_core.language_models import ModelProfile

        llm = ChatTogether(model="openai/gpt-oss-120b", **connect)
        known: Any = llm.profile
        expected = {
            "status": "active", "max_input_tokens": 131_072, "max_output_tokens": 131_072, "reasoning_output": True,
            "reasoning_effort_levels": ["low", "medium", "high"], "tool_choice": True, "tool_call_streaming": True,
            "text_inputs": True, "text_outputs": True, "pdf_inputs": False, "image_outputs": False, "temperature": True,
            "mid_conversation_system_messages": True, "mid_conversation_tools": False,
        }  # fmt: skip
        assert {key: known.get(key) for key in expected} == expected
        assert not {"image_inputs", "release_date", "last_updated", "open_weights", "reasoning_effort_default"} & known.keys()
        seeing: Any = ChatTogether(model="Qwen/Qwen3.5-9B", **connect).profile
        assert all(seeing[key] for key in ("image_inputs", "image_url_inputs", "image_tool_message", "attachment"))
        removed = next(name for name, entry in MODELS.items() if entry.is_removed and entry.type == "chat")
        gone: Any = ChatTogether(model=removed, **connect).profile
        assert gone["status"] == "deprecated"
        unknown: Any = ChatTogether(model="someone/anything", **connect).profile
        assert not {"max_input_tokens", "image_inputs", "reasoning_output", "status", "attachment"} & unknown.keys()
        refreshed: Any = llm.refresh_profile()
        entry = next(model for model in llm._clients.sync.models.list() if model.id == llm.model_name)
        assert refreshed["name"] == entry.display_name
        assert {*known, *seeing, *gone, *refreshed} <= ModelProfile.__annotations__.keys()

    async def test_profiles_asynchronously(self, llm: ChatTogether) -> None:
        assert (await llm.arefresh_profile())["max_input_tokens"] > 0

    def test_langsmith_parameters(self, llm: ChatTogether, completer: Together) -> None:
        params = llm.model_copy(update={"temperature": 0.5, "stop": "END"})._get_ls_params(max_tokens=3)
        assert params["ls_provider"] == "together"
        assert (params["ls_temperature"], params["ls_max_tokens"], params["ls_stop"]) == (0.5, 3, ["END"])
        assert completer._get_ls_params(model="m")["ls_model_name"] == "m"
        assert completer._get_ls_params()["ls_provider"] == "together"
