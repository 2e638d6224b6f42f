"""`ChatTogether`: LangChain's chat model for Together AI."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LangSmithParams, LanguageModelInput, ModelProfile
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.utils.utils import LC_ID_PREFIX
from pydantic import ConfigDict, Field

from langchain_together_adapters.chat_request import RELAX, ask
from langchain_together_adapters.chat_response import Manner, chat_result
from langchain_together_adapters.connection import Connection
from langchain_together_adapters.errors import model_errors
from langchain_together_adapters.messages import wire_messages
from langchain_together_adapters.parameters import Sampling, request_params, sum_usage
from langchain_together_adapters.profiles import profile_of
from langchain_together_adapters.stream_chunks import ChunkWriter
from langchain_together_adapters.stream_events import EventWriter
from langchain_together_adapters.token_counts import estimated_count, estimated_ids
from langchain_together_adapters.tools import wire_response_format, wire_tool_choice, wire_tools
from together_adapters.types.capabilities import DEFAULT_CHAT_MODEL
from together_adapters.types.chat import ChatParams
from together_adapters.types.reasoning import THINK_TAGS

if TYPE_CHECKING:
    from langchain_protocol.protocol import MessagesData

    from langchain_together_adapters.structured_output import Method
    from langchain_together_adapters.tools import Tool

_KNOWN = ChatParams.__required_keys__ | ChatParams.__optional_keys__ | {RELAX}
_SAMPLING = (
    "temperature", "max_tokens", "stop", "n", "top_p", "top_k", "min_p", "repetition_penalty", "presence_penalty",
    "frequency_penalty", "logit_bias", "seed", "logprobs", "top_logprobs", "echo", "safety_model", "response_format",
    "context_length_exceeded_behavior", "compliance", "reasoning", "reasoning_effort", "chat_template_kwargs",
    "parallel_tool_calls",
)  # fmt: skip


class ChatTogether(Connection, Sampling, BaseChatModel):
    """Chat with the models of Together AI.

    Besides the attributes below it has those of `Sampling` (temperature, top_k, ...) and `Connection` (api_key, timeout, ...).

    Attributes:
        model_name: The model, or a dedicated endpoint (alias `model`).
        reasoning: `{"enabled": bool}` for models that can do both.
        reasoning_effort: `low`, `medium` or `high`, where the model knows it.
        chat_template_kwargs: Arguments for the model's chat template.
        parallel_tool_calls: Whether several calls may come at once, where the model knows the switch.
        stream_usage: Whether a stream is asked for its usage.
        reasoning_tags: What encloses reasoning at the head of an answer; None leaves it in the text.
        replay_reasoning: Whether the assistant's earlier reasoning is sent back with the conversation.

    Raises:
        ConfigurationError: There is no key, and no client was given.

    Example:
        ```python
        from langchain_together_adapters import ChatTogether

        llm = ChatTogether(model="openai/gpt-oss-20b", temperature=0)
        llm.invoke("Why is the sky blue?").content
        ```
    """

    model_config = ConfigDict(populate_by_name=True, protected_namespaces=(), arbitrary_types_allowed=True)

    model_name: str = Field(default=DEFAULT_CHAT_MODEL, alias="model")
    reasoning: dict[str, Any] | None = None
    reasoning_effort: str | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    stream_usage: bool = True
    reasoning_tags: tuple[str, str] | None = THINK_TAGS
    replay_reasoning: bool = False

    @property
    def model(self) -> str:
        """The model's name."""
        return self.model_name

    @property
    def _llm_type(self) -> str:
        return "together-chat"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {
            "model": self.model_name,
            "model_name": self.model_name,
            "base_url": self._clients.config.base_url,
            "streaming": self.streaming,
            "reasoning_tags": self.reasoning_tags,
            "replay_reasoning": self.replay_reasoning,
            **self._sampling(_SAMPLING),
            **self.model_kwargs,
            **({"extra_body": self.extra_body} if self.extra_body else {}),
        }

    @property
    def lc_secrets(self) -> dict[str, str]:
        """Constructor arguments that no dump holds, and the variables that they are read from."""
        return {"together_api_key": "TOGETHER_API_KEY"}

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Whether `langchain_core.load.dumpd` can write it; `langchain_together_adapters.load` reads it."""
        return True

    @property
    def _manner(self) -> Manner:
        return Manner(self.reasoning_tags, self.output_version == "v1")

    def _request(
        self, messages: list[BaseMessage], stop: list[str] | None, given: dict[str, Any], stream: bool
    ) -> dict[str, Any]:
        """Put a request together: the fields, what was bound, what this call brings, and the conversation."""
        given = dict(given)
        usage = given.pop("stream_usage", self.stream_usage)
        replay = given.pop("replay_reasoning", self.replay_reasoning)
        defaults = {"model": self.model_name, **self._sampling(_SAMPLING)}
        params = request_params(defaults, self.model_kwargs, self.extra_body, given, stop, _KNOWN)
        if params.get("tools"):
            params["tools"] = wire_tools(params["tools"])
            params["tool_choice"] = wire_tool_choice(params.get("tool_choice"), params["tools"])
        if params.get("response_format") is not None:
            params["response_format"] = wire_response_format(params["response_format"])
        if stream and usage:
            params["stream_options"] = {"include_usage": True, **(params.get("stream_options") or {})}
        params["messages"] = wire_messages(messages, replay_reasoning=replay)
        return params

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with model_errors():
            answer = self._clients.sync.perform(ask(self._request(messages, stop, kwargs, False)))
            return chat_result(answer, self._manner)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with model_errors():
            answer = await self._clients.asynchronous.perform(ask(self._request(messages, stop, kwargs, False)))
            return chat_result(answer, self._manner)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        writer = ChunkWriter(self._manner)
        with model_errors(), self._clients.sync.perform(ask(self._request(messages, stop, kwargs, True), stream=True)) as events:
            for event in events:
                yield from writer.read(event)
            yield from writer.end()

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        writer = ChunkWriter(self._manner)
        with model_errors():
            asked = ask(self._request(messages, stop, kwargs, True), stream=True)
            async with await self._clients.asynchronous.perform(asked) as events:
                async for event in events:
                    for chunk in writer.read(event):
                        yield chunk
                for chunk in writer.end():
                    yield chunk

    def _stream_chat_model_events(
        self,
        messages: list[BaseMessage],
        *,
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[MessagesData]:
        writer = EventWriter(self._manner, _message_id(run_manager))
        with model_errors(), self._clients.sync.perform(ask(self._request(messages, stop, kwargs, True), stream=True)) as events:
            for event in events:
                yield from writer.read(event)
            yield from writer.end()

    async def _astream_chat_model_events(
        self,
        messages: list[BaseMessage],
        *,
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[MessagesData]:
        writer = EventWriter(self._manner, _message_id(run_manager))
        with model_errors():
            asked = ask(self._request(messages, stop, kwargs, True), stream=True)
            async with await self._clients.asynchronous.perform(asked) as events:
                async for event in events:
                    for told in writer.read(event):
                        yield told
                for told in writer.end():
                    yield told

    def _combine_llm_outputs(self, llm_outputs: list[dict[str, Any] | None], /) -> dict[str, Any]:
        return sum_usage(llm_outputs)

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop, **kwargs)
        params["ls_provider"] = "together"
        if (own := stop or kwargs.get("stop") or self.stop) is not None:
            params["ls_stop"] = [own] if isinstance(own, str) else own
        return params

    def _resolve_model_profile(self) -> ModelProfile | None:
        return profile_of(self.model_name)

    def refresh_profile(self) -> ModelProfile:
        """Take the model's context length from the service's catalogue into `profile`, and return the profile."""
        with model_errors():
            return self._refreshed(self._clients.sync.models.list())

    async def arefresh_profile(self) -> ModelProfile:
        """Take the model's context length from the service's catalogue into `profile`, and return the profile."""
        with model_errors():
            return self._refreshed(await self._clients.asynchronous.models.list())

    def _refreshed(self, catalogue: Any) -> ModelProfile:
        profile: ModelProfile = {**(self.profile or profile_of(self.model_name))}
        length = next((known.context_length for known in catalogue if known.id == self.model_name), None)
        if length:
            profile["max_input_tokens"] = length
        self.profile = profile
        return profile

    def get_token_ids(self, text: str) -> list[int]:
        """Return `custom_get_token_ids(text)`, or as many numbers as the text is likely to have tokens, without a network."""
        return self.custom_get_token_ids(text) if self.custom_get_token_ids else estimated_ids(text)

    def get_num_tokens_from_messages(self, messages: list[BaseMessage], tools: Sequence[Any] | None = None) -> int:
        """Return about how many tokens a conversation and its tools take, without a network.

        Args:
            messages: The conversation.
            tools: Tools that travel with it.
        """
        if self.custom_get_token_ids is None:
            return estimated_count(messages, tools)
        own = super().get_num_tokens_from_messages(messages)
        return own + sum(len(self.custom_get_token_ids(str(tool))) for tool in wire_tools(tools or ()))

    def bind_tools(
        self,
        tools: Sequence[Tool],
        *,
        tool_choice: str | dict[str, Any] | bool | None = None,
        strict: bool | None = None,
        parallel_tool_calls: bool | None = None,
        response_format: Any = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Give the model tools that it may call.

        Args:
            tools: Functions, pydantic classes, LangChain tools, or their schemas.
            tool_choice: `any`, `required` or True to force a call, `auto`, `none`, or the name of the tool to call.
            strict: Whether the model is held to the tools' schemas; not said when None.
            parallel_tool_calls: Whether several calls may come at once; not said when None.
            response_format: A schema, or a response format, that the final answer keeps to.
            **kwargs: Further parameters of the request.

        Raises:
            ValueError: `tool_choice` names none of the tools.
        """
        wired = wire_tools(tools, strict=strict)
        bound: dict[str, Any] = {"tools": wired, **kwargs}
        if (choice := wire_tool_choice(tool_choice, wired)) is not None:
            bound["tool_choice"] = choice
        if parallel_tool_calls is not None:
            bound["parallel_tool_calls"] = parallel_tool_calls
        if response_format is not None:
            # Agents ask for strictness of OpenAI's classes alone.
            bound["response_format"] = wire_response_format(response_format, strict=True if strict is None else strict)
        return self.bind(**bound)

    def with_structured_output(
        self,
        schema: Any = None,
        *,
        method: Method | None = None,
        include_raw: bool = False,
        strict: bool | None = None,
        tool_choice: Any = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        r"""Return a runnable that answers in the shape of a schema.

        Args:
            schema: A pydantic class (instances come back), or a TypedDict, a JSON schema or a tool (dicts come back); for
                `regex` a pattern (the text comes back).
            method: `json_schema` and `regex` constrain the model, `function_calling` forces a tool, `json_mode` only asks for
                JSON. By default what the model's profile says it does best.
            include_raw: Answer `{"raw", "parsed", "parsing_error"}` and do not raise when parsing fails.
            strict: Whether the model is held to the schema to the letter; not said when None.
            tool_choice: What is forced with `function_calling`; the schema's own tool when None. A model that refuses to be
                forced is asked again without.
            **kwargs: Further parameters of the request.

        Raises:
            ValueError: The method is unknown, or does not go with the schema.
        """
        from langchain_together_adapters.structured_output import assembled, default_method, plan

        chosen = method or default_method(self.profile)
        planned = plan(schema, chosen, strict=strict, tool_choice=tool_choice, bind_tools=self.bind_tools)
        return assembled(self.bind(**planned.options, **kwargs), planned.parser, include_raw)


def _message_id(run_manager: Any) -> str | None:
    return f"{LC_ID_PREFIX}-{run_manager.run_id}" if run_manager else None
