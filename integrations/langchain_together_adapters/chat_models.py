"""`ChatTogether`: LangChain's chat model for Together AI."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import LanguageModelInput, ModelProfile
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.utils.utils import LC_ID_PREFIX

from langchain_together_adapters.bulk.model import SETTING, BatchModel
from langchain_together_adapters.chat_stream import ChunkWriter, EventWriter, StreamWriter
from langchain_together_adapters.errors import model_errors
from langchain_together_adapters.gateway import gateway_metadata, is_gateway_key
from langchain_together_adapters.language_model import BYTES_PER_TOKEN, CALL_SETTINGS, READ_HEADERS, LanguageModel
from langchain_together_adapters.messages import wire_messages
from langchain_together_adapters.profiles import catalogue_profile, profile
from langchain_together_adapters.responses import ParseOptions, chat_result, sum_usage
from langchain_together_adapters.tools import (
    RELAX_TOOL_CHOICE,
    is_about_tool_choice,
    wire_response_format,
    wire_tools,
)
from together_adapters.adapters.response_format import ToolsThenFormat
from together_adapters.adapters.tool_definitions import tool_params
from together_adapters.errors import APIError
from together_adapters.resources.chat import complete, stream_completion
from together_adapters.transport.call import Flow, StreamCall
from together_adapters.types.capabilities import capabilities
from together_adapters.types.chat import ChatParams
from together_adapters.types.reasoning import THINK_TAGS

if TYPE_CHECKING:
    from langchain_protocol.protocol import MessagesData

    from langchain_together_adapters.structured_output import Method
    from langchain_together_adapters.tools import Tool
    from together_adapters.types.models import ModelInfo

T = TypeVar("T")

_REFUSALS = (400, 422, None)  # requests of batch jobs fail without a status


class ChatTogether(LanguageModel, BatchModel):
    """Chat with the models of Together AI.

    Besides the attributes below it has those of `Sampling` (temperature, top_k, ...) and `Connection` (api_key, timeout, ...).

    Attributes:
        model_name: The name of the model or of a dedicated endpoint (alias `model`).
        reasoning: `{"enabled": bool}`, for models whose reasoning is optional.
        reasoning_effort: `low`, `medium`, `high`, or another word that the model knows.
        chat_template_kwargs: Arguments for the model's chat template.
        parallel_tool_calls: Whether the model may make several tool calls at once, for models that support it.
        stream_usage: Whether streams report usage.
        reasoning_tags: The tags around reasoning at the head of a response; None leaves it in the text.
        include_response_headers: Whether messages have the headers of their response, in `response_metadata["headers"]`.
        replay_reasoning: Whether the assistant's earlier reasoning is sent back with the conversation, in the field in which it
            came (`response_metadata["reasoning_field"]`), else in that of the model.
        stream_chunk_timeout: Seconds to wait for each chunk of a stream, whatever else keeps the connection open, before an
            `APITimeoutError` ends it; None or 0 for no limit but `timeout`, which a server's comments renew.
        batch_api: A `together_adapters.bulk.BatchAPI`, with which `batch`, `abatch` and their `as_completed` forms send all requests as
            one job, also those of a chain; None sends them one by one. Other methods are not changed. Dumps leave it out.

    Raises:
        ConfigurationError: There is neither a key nor a client.

    Example:
        ```python
        from langchain_together_adapters import ChatTogether

        llm = ChatTogether(model="openai/gpt-oss-120b", temperature=0)
        llm.invoke("Why is the sky blue?").content
        ```
    """

    _takes_gateway: ClassVar[bool] = True
    _request_names: ClassVar[frozenset[str]] = frozenset(
        ChatParams.__required_keys__ | ChatParams.__optional_keys__ | {RELAX_TOOL_CHOICE}
    )

    reasoning: dict[str, Any] | None = None
    reasoning_effort: str | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    reasoning_tags: tuple[str, str] | None = THINK_TAGS
    replay_reasoning: bool = False
    include_response_headers: bool = False

    @property
    def _llm_type(self) -> str:
        return "together-chat"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        switches = {"reasoning_tags": self.reasoning_tags, "replay_reasoning": self.replay_reasoning}
        return {**super()._identifying_params, **switches}

    @property
    def _parse_options(self) -> ParseOptions:
        return ParseOptions(self.reasoning_tags, self.output_version == "v1", capabilities(self.model_name).reasoning)

    def _chat_params(
        self, messages: list[BaseMessage], stop: list[str] | None, kwargs: Mapping[str, Any], *, stream: bool = False
    ) -> dict[str, Any]:
        """Return the parameters of a chat completion."""
        call = {name: value for name, value in kwargs.items() if name != SETTING}
        replay = call.pop("replay_reasoning", self.replay_reasoning)
        with_headers, chunk_timeout = (call.pop(name, getattr(self, name)) for name in CALL_SETTINGS)
        params = self._request_params(stop, call, stream=stream)
        if chunk_timeout:
            params["stream_chunk_timeout"] = chunk_timeout
        if with_headers or self._gateway_headers is not None or is_gateway_key(self.together_api_key):
            params[READ_HEADERS] = _headers_and_gateway if with_headers else gateway_metadata
        if params.get("tools") is not None:
            params |= tool_params(wire_tools(params.pop("tools")), params.pop("tool_choice", None))
        if params.get("response_format") is not None:
            params["response_format"] = wire_response_format(params["response_format"])
        model = capabilities(params["model"])
        params["messages"] = wire_messages(
            messages, replay_reasoning=replay, reasoning_style=model.reasoning, takes_images=model.vision
        )
        return params

    def _request(self, messages: list[BaseMessage], stop: list[str] | None, kwargs: Mapping[str, Any]) -> Flow[Any]:
        """Return the JSON of a response."""
        plan = ToolsThenFormat(self._chat_params(messages, stop, kwargs))
        responses: list[Any] = []
        for params in plan.requests():
            responses = plan.feed((yield from _send(complete, params)))
        return responses[0]

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with model_errors():
            response = self._perform(self._request(messages, stop, kwargs), run_manager, kwargs)
            return chat_result(response, self._parse_options)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with model_errors():
            response = await self._aperform(self._request(messages, stop, kwargs), run_manager, kwargs)
            return chat_result(response, self._parse_options)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        return self._write(ChunkWriter(self._parse_options), messages, stop, kwargs)

    def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        return self._awrite(ChunkWriter(self._parse_options), messages, stop, kwargs)

    def _stream_chat_model_events(
        self,
        messages: list[BaseMessage],
        *,
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[MessagesData]:
        return self._write(EventWriter(self._parse_options, _message_id(run_manager)), messages, stop, kwargs)

    def _astream_chat_model_events(
        self,
        messages: list[BaseMessage],
        *,
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[MessagesData]:
        return self._awrite(EventWriter(self._parse_options, _message_id(run_manager)), messages, stop, kwargs)

    def _write(
        self, writer: StreamWriter[T], messages: list[BaseMessage], stop: list[str] | None, kwargs: Mapping[str, Any]
    ) -> Iterator[T]:
        plan = ToolsThenFormat(self._chat_params(messages, stop, kwargs, stream=True))
        feed = writer.feed if plan.is_one_request else _response_writer(plan, writer)
        with model_errors():
            for params in plan.requests():
                with self._clients.sync.perform(_send(stream_completion, params)) as stream:
                    for chunk in stream:
                        yield from feed(chunk)
                    if read_headers := params.get(READ_HEADERS):
                        yield from feed(read_headers(stream.response.headers))
            yield from writer.end()

    async def _awrite(
        self, writer: StreamWriter[T], messages: list[BaseMessage], stop: list[str] | None, kwargs: Mapping[str, Any]
    ) -> AsyncIterator[T]:
        plan = ToolsThenFormat(self._chat_params(messages, stop, kwargs, stream=True))
        feed = writer.feed if plan.is_one_request else _response_writer(plan, writer)
        with model_errors():
            for params in plan.requests():
                async with await self._clients.asynchronous.perform(_send(stream_completion, params)) as stream:
                    async for chunk in stream:
                        for item in feed(chunk):
                            yield item
                    if read_headers := params.get(READ_HEADERS):
                        for item in feed(read_headers(stream.response.headers)):
                            yield item
            for item in writer.end():
                yield item

    def _combine_llm_outputs(self, llm_outputs: list[dict[str, Any] | None], /) -> dict[str, Any]:
        return sum_usage(llm_outputs)

    def _resolve_model_profile(self) -> ModelProfile | None:
        return profile(self.model_name)

    def refresh_profile(self) -> ModelProfile:
        """Update `profile` with what the service's catalogue says of the model, asked once for each client, and return it."""
        with model_errors():
            return self._update_profile(self._clients.sync.models.info(self.model_name))

    async def arefresh_profile(self) -> ModelProfile:
        """Update `profile`; see `refresh_profile`."""
        with model_errors():
            return self._update_profile(await self._clients.asynchronous.models.info(self.model_name))

    def _update_profile(self, info: ModelInfo) -> ModelProfile:
        self.profile = cast("ModelProfile", {**(self.profile or profile(self.model_name)), **catalogue_profile(info)})
        return self.profile

    def get_num_tokens_from_messages(self, messages: list[BaseMessage], tools: Sequence[Any] | None = None) -> int:
        """Return an estimate of the tokens of a conversation and its tools. Sends no request.

        Args:
            messages: The conversation.
            tools: The tools that are sent with it.
        """
        wire: Any = wire_tools(tools or ())
        if self.custom_get_token_ids is not None:
            count = super().get_num_tokens_from_messages(messages)
            return count + sum(len(self.custom_get_token_ids(str(tool))) for tool in wire)
        text = "".join(str(message.content) for message in messages)
        size = len(text.encode("utf-8", "surrogatepass"))
        # Characters outside ASCII take more bytes, and more tokens.
        per_token = BYTES_PER_TOKEN * len(text) / size if size else BYTES_PER_TOKEN
        return count_tokens_approximately(messages, chars_per_token=per_token, tools=wire or None)

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
        """Return the model with tools that it may call.

        Args:
            tools: Functions, pydantic classes, enumerations, LangChain tools, or their schemas, also in the layout of another
                provider or of MCP. A JSON schema without a title has the name `answer`. Without tools, neither tools nor a choice are sent.
            tool_choice: `any`, `required` or True to force a call, `auto`, `none`, or the name of the tool to call; also in the
                layout of another provider.
            strict: Whether arguments must match the tools' schemas; not sent when None.
            parallel_tool_calls: Whether the model may make several calls at once; not sent when None.
            response_format: A schema or a response format for the final response. The service refuses it beside tools, so the
                model is asked with the tools first. Where it calls none, and its text does not follow the format, it is asked
                again, with the format and without the tools. The message has the usage of both requests; a stream begins when
                it is known which of them answers.
            **kwargs: Further parameters of the request.

        Raises:
            ValueError: `tool_choice` names none of the tools, or a tool is one that another provider runs itself.
        """
        params: dict[str, Any] = {**tool_params(wire_tools(tools, strict=strict), tool_choice), **kwargs}
        if parallel_tool_calls is not None and "tools" in params:
            params["parallel_tool_calls"] = parallel_tool_calls
        if response_format is not None:
            # LangChain's agents set `strict` for OpenAI's classes alone.
            params["response_format"] = wire_response_format(response_format, strict=True if strict is None else strict)
        return self.bind(**params)

    def with_structured_output(
        self,
        schema: Any = None,
        *,
        method: Method | None = None,
        include_raw: bool = False,
        strict: bool | None = None,
        tool_choice: Any = None,
        tools: Sequence[Tool] | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        r"""Return a runnable that returns values of a schema.

        Args:
            schema: A pydantic class, for instances of it; an enumeration, for a member of it; a TypedDict, a JSON schema or a
                tool, for dicts; for `regex` a pattern, for text.
            method: `json_schema` and `regex` constrain the model, `function_calling` forces a tool call, `json_mode` requires
                JSON of any schema. The default depends on the model's profile.
            include_raw: Return `{"raw", "parsed", "parsing_error"}` and do not raise when parsing fails.
            strict: Whether the schema is enforced strictly; not sent when None.
            tool_choice: The tool choice of `function_calling`; the schema's tool when None. Where the model refuses a forced
                choice, the request is repeated without one.
            tools: Tools that the model may call instead of an answer, with every method but `function_calling`. Then the value is
                None, and with `include_raw` the message has the calls. See `bind_tools` for the requests that this takes.
            **kwargs: Further parameters of the request.

        Raises:
            ValueError: The method is unknown, or does not support the schema or `tools`.
        """
        from langchain_together_adapters.structured_output import default_method, output_method, with_parser

        method = method or ("json_schema" if tools else default_method(self.profile))
        if tools and method == "function_calling":
            raise ValueError("method 'function_calling' does not go with tools: use json_schema, or add the schema to the tools")
        params, parser = output_method(schema, method, strict=strict, tool_choice=tool_choice, bind_tools=self.bind_tools)
        if tools:
            kwargs = {**tool_params(wire_tools(tools, strict=strict), tool_choice), **kwargs}
        return with_parser(self.bind(**params, **kwargs), parser, include_raw)


def _send(describe: Callable[..., Any], params: Mapping[str, Any]) -> Flow[Any]:
    """Return what a request results in; where the model refuses a forced tool call that may be dropped, a request without it."""
    params = dict(params)
    relax, *settings = (params.pop(name, None) for name in (RELAX_TOOL_CHOICE, READ_HEADERS, "stream_chunk_timeout"))
    try:
        return (yield _with_settings(describe(**params).untyped(), *settings))
    except APIError as error:
        if not (relax and error.status_code in _REFUSALS and is_about_tool_choice(error, params.get("tool_choice"))):
            raise
    return (yield _with_settings(describe(**{**params, "tool_choice": "auto"}).untyped(), *settings))


def _with_settings(call: Any, read_headers: Any, chunk_timeout: float | None) -> Any:
    """Return a call whose response has what is read from its headers, or a stream that waits so long for each chunk."""
    if isinstance(call, StreamCall):
        return replace(call, chunk_timeout=chunk_timeout) if chunk_timeout else call
    if not read_headers:
        return call
    from together_adapters.transport.exchange import snapshot  # few models need it

    parse = call.parse
    return replace(call, parse=lambda response: {**parse(response), **read_headers(snapshot(response, 1).headers)})


def _headers_and_gateway(headers: Mapping[str, str]) -> dict[str, Any]:
    return {"headers": dict(headers), **gateway_metadata(headers)}


def _response_writer(plan: ToolsThenFormat, writer: StreamWriter[T]) -> Callable[[dict[str, Any]], Iterable[T]]:
    """Return a function that writes of a chunk what belongs to the response."""
    return lambda chunk: (item for part in plan.feed(chunk) for item in writer.feed(part))


def _message_id(run_manager: Any) -> str | None:
    return f"{LC_ID_PREFIX}-{run_manager.run_id}" if run_manager else None
