"""LangChain's own suites, every flag on but PDF (the service has no file part), against the lenient and the strict emulator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_tests.integration_tests import ChatModelIntegrationTests, EmbeddingsIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests, EmbeddingsUnitTests
from langchain_together_adapters import ChatTogether, TogetherEmbeddings

from together_adapters.emulator import Behaviour, Emulator, serve
from together_adapters.types.capabilities import DEFAULT_EMBEDDING_MODEL

MODEL = "Qwen/Qwen3.5-9B"
OTHER = "deepseek-ai/DeepSeek-V4.1-Flash"
REASONER = "openai/gpt-oss-120b"


class _Flags:
    chat_model_class = ChatTogether
    has_tool_calling = True
    has_tool_choice = True
    has_structured_output = True
    supports_json_mode = True
    supports_image_inputs = True
    supports_image_urls = True
    supports_audio_inputs = True
    supports_video_inputs = True
    supports_anthropic_inputs = True
    supports_image_tool_message = True
    returns_usage_metadata = True
    supports_model_override = True
    model_override_value = OTHER
    enable_vcr_tests = True
    supported_usage_metadata_details = {
        "invoke": ["reasoning_output", "cache_read_input"],
        "stream": ["reasoning_output", "cache_read_input"],
    }
    structured_output_kwargs: dict[str, Any] = {}
    url = "http://127.0.0.1:9/v1"

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": MODEL, "api_key": "test", "base_url": self.url}


class _Details(_Flags):
    """How the suite requests reasoning and cached tokens."""

    def invoke_with_reasoning_output(self, *, stream: bool = False) -> AIMessage:
        return _run(ChatTogether(**{**self.chat_model_params, "model": REASONER}), "Why?", stream)

    def invoke_with_cache_read_input(self, *, stream: bool = False) -> AIMessage:
        return _run(ChatTogether(**self.chat_model_params), "Hello again", stream)


def _run(model: BaseChatModel, question: str, stream: bool) -> Any:
    if not stream:
        return model.invoke(question)
    first, *rest = model.stream(question)
    return first + rest  # type: ignore[operator]


@pytest.mark.usefixtures("offline_media")
class TestChatLenient(_Details, ChatModelIntegrationTests):
    @pytest.fixture(autouse=True)
    def _server(self, emulator: Emulator) -> None:
        self.url = emulator.base_url


@pytest.mark.usefixtures("offline_media")
class TestChatStrict(_Details, ChatModelIntegrationTests):
    @pytest.fixture(autouse=True)
    def _server(self, strict_emulator: Emulator) -> None:
        self.url = strict_emulator.base_url


@pytest.mark.usefixtures("offline_media")
class TestChatByFunctionCalling(_Details, ChatModelIntegrationTests):
    structured_output_kwargs = {"method": "function_calling"}

    @pytest.fixture(autouse=True)
    def _server(self, strict_emulator: Emulator) -> None:
        self.url = strict_emulator.base_url


@pytest.mark.usefixtures("offline_media")
@pytest.mark.parametrize("usage", ["separate", "asked", "asked-separate"])
class TestUsagePlaces:
    async def test_one_usage(self, usage: str, emulator: Emulator) -> None:
        with emulator.behave(usage=usage):
            model = ChatTogether(model=MODEL, api_key="test", base_url=emulator.base_url)
            suite = TestChatLenient()
            suite.url = emulator.base_url
            suite.test_usage_metadata(model)
            suite.test_usage_metadata_streaming(model)


class TestChatUnit(_Flags, ChatModelUnitTests):
    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        environment = {"TOGETHER_API_KEY": "api_key", "TOGETHER_API_BASE": "https://base.com"}
        return environment, {"model": MODEL}, {"together_api_key": "api_key", "together_api_base": "https://base.com"}

    @pytest.mark.xfail(
        reason="langchain-core loads third-party classes only through load()'s own arguments; see test_serialization"
    )
    def test_serdes(self, model: BaseChatModel, snapshot: Any) -> None:
        super().test_serdes(model, snapshot)


class _EmbeddingFlags:
    embeddings_class = TogetherEmbeddings
    url = "http://127.0.0.1:9/v1"

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"api_key": "test", "base_url": self.url}


class TestEmbeddingsUnit(_EmbeddingFlags, EmbeddingsUnitTests):
    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        environment = {"TOGETHER_API_KEY": "api_key", "TOGETHER_API_BASE": "https://base.com"}
        return environment, {}, {"together_api_key": "api_key", "together_api_base": "https://base.com"}


class TestEmbeddingsLenient(_EmbeddingFlags, EmbeddingsIntegrationTests):
    @pytest.fixture
    def model(self, emulator: Emulator) -> Embeddings:
        self.url = emulator.base_url
        return TogetherEmbeddings(**self.embedding_model_params)


class TestEmbeddingsStrict(_EmbeddingFlags, EmbeddingsIntegrationTests):
    @pytest.fixture
    def model(self) -> Iterator[Embeddings]:
        with serve(behaviour=Behaviour(strict=True), models=[DEFAULT_EMBEDDING_MODEL]) as emulator:
            self.url = emulator.base_url
            yield TogetherEmbeddings(**self.embedding_model_params)
