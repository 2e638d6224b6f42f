"""`TogetherLLM`: chat, completion and base models, with tools, reasoning and structured output."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    LLMMetadata,
    MessageRole,
)
from llama_index.core.bridge.pydantic import Field, PrivateAttr, field_validator
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection

from llama_index_together_adapters import requests, responses, tool_calls
from llama_index_together_adapters.connection import ServiceComponent
from llama_index_together_adapters.endpoint_calls import BATCH_API, EndpointCall, StreamingSession, WholeSession
from llama_index_together_adapters.output_modes import OutputMode, choose_mode
from llama_index_together_adapters.refusals import raise_if_refused
from llama_index_together_adapters.structured_output import StructuredOutput
from together_adapters.adapters.response_format import ToolsThenFormat
from together_adapters.adapters.tool_definitions import tool_params
from together_adapters.errors import ConfigurationError
from together_adapters.resources import chat as chat_resource
from together_adapters.resources import completions as completions_resource
from together_adapters.transport.config import warn_user
from together_adapters.types.capabilities import DEFAULT_CHAT_MODEL, Capabilities, capabilities, is_known
from together_adapters.types.reasoning import THINK_TAGS

if TYPE_CHECKING:
    from together_adapters.types.models import ModelInfo

R = TypeVar("R")
_warned_models: set[str] = set()
"""Models whose assumed context window was warned about."""


class TogetherLLM(ServiceComponent, StructuredOutput, FunctionCallingLLM):
    """A language model of Together AI.

    Every request parameter is a field and a keyword of each call; the keyword takes precedence. Parameters that are None are not
    sent, so the service's defaults apply. Errors are those of `together_adapters.errors`.

    The refusal of a model is in `additional_kwargs["refusal"]` of the message, or of a completion, and is its text where there is no
    other, so that agents and engines show it; a stream ends with that text. Where an object or a tool call is required, a refusal is
    a `RefusedError`.

    A `rate_limiter` is acquired once for each call, with an estimate of its tokens: the text of the request at four bytes a token, and
    `max_tokens` or else `num_output`.

    Example:
        ```python
        llm = TogetherLLM("openai/gpt-oss-120b")
        print(llm.complete("Name one prime number.").text)
        ```

    Attributes:
        model: The name of the model or of a dedicated endpoint.
        temperature: Randomness of sampling, from 0.
        max_tokens: Maximum number of tokens of a response.
        context_window: Tokens of prompt and response together. None takes it from `capabilities`.
        num_output: Tokens that prompts reserve for the response. None for `max_tokens`, or LlamaIndex's default.
        is_chat_model: Whether the model chats; otherwise it completes prompts. None takes it from `capabilities`.
        is_function_calling_model: Whether the model calls tools. None takes it from `capabilities`.
        should_use_structured_outputs: Whether structured output uses a JSON schema. None takes it from `capabilities`.
        additional_kwargs: Further request parameters; those of a call take precedence.
        reasoning_tags: The tags around reasoning at the head of a text; None leaves it in the text.
        validation_retries: How often an invalid response to a request for structured output is sent back to the model, with its
            problems.
        replay_reasoning: Whether the assistant's earlier reasoning is sent back with the conversation.
        extra_body: Further JSON fields of the request.
        batch_api: A `together_adapters.bulk.BatchAPI`, with which asynchronous calls that wait at the same time travel as one batch job:
            `achat`, `acomplete`, `astructured_predict`, and what extractors, evaluators and query engines make of them. A job takes
            minutes to a day. Synchronous calls, streams, and calls that offer tools without requiring one, as agents make them, are
            sent at once, as all calls are with `batch_api=None`, also as a keyword of one call. Dumps leave it out.

    The request parameters are those of `together_adapters.types.chat.ChatParams`. The settings of the connection (`api_key`,
    `api_base`, `timeout`, `max_retries`, `max_elapsed`, `default_headers`, `default_query`, `client`, `async_client`, `http_client`,
    `async_http_client`, `transport`, `control`) are those of
    `together_adapters.Together`.

    Raises:
        ConfigurationError: There is neither a key nor a client.
    """

    model: str = Field(default=DEFAULT_CHAT_MODEL)
    temperature: float | None = Field(default=None)
    max_tokens: int | None = Field(default=None, gt=0)
    context_window: int | None = Field(default=None, gt=0)
    num_output: int | None = Field(default=None, gt=0)
    is_chat_model: bool | None = Field(default=None)
    is_function_calling_model: bool | None = Field(default=None)
    should_use_structured_outputs: bool | None = Field(default=None)
    additional_kwargs: dict[str, Any] = Field(default_factory=dict)
    reasoning_tags: tuple[str, str] | None = Field(default=THINK_TAGS)
    replay_reasoning: bool = Field(default=False)
    top_p: float | None = Field(default=None)
    top_k: int | None = Field(default=None)
    min_p: float | None = Field(default=None)
    repetition_penalty: float | None = Field(default=None)
    presence_penalty: float | None = Field(default=None)
    frequency_penalty: float | None = Field(default=None)
    logit_bias: dict[str | int, float] | None = Field(default=None)
    seed: int | None = Field(default=None)
    stop: str | list[str] | None = Field(default=None)
    n: int | None = Field(default=None)
    logprobs: bool | int | None = Field(default=None)
    top_logprobs: int | None = Field(default=None)
    echo: bool | None = Field(default=None)
    safety_model: str | None = Field(default=None)
    response_format: dict[str, Any] | None = Field(default=None)
    reasoning: dict[str, Any] | None = Field(default=None)
    reasoning_effort: str | None = Field(default=None)
    chat_template_kwargs: dict[str, Any] | None = Field(default=None)
    context_length_exceeded_behavior: str | None = Field(default=None)
    compliance: str | None = Field(default=None)
    parallel_tool_calls: bool | None = Field(default=None)
    extra_body: dict[str, Any] | None = Field(default=None)
    batch_api: Any = Field(default=None, exclude=True, repr=False)

    _model_info: ModelInfo | None = PrivateAttr(default=None)

    _ignored_arguments: ClassVar[frozenset[str]] = frozenset({"class_name", "api_version", "reuse_client", "strict", "tokenizer"})

    def __init__(
        self,
        model: str = DEFAULT_CHAT_MODEL,
        api_key: str | None = None,
        api_base: str | None = None,
        is_chat_model: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(model=model, api_key=api_key, api_base=api_base, is_chat_model=is_chat_model, **kwargs)

    @field_validator("response_format", mode="before")
    @classmethod
    def _read_response_format(cls, value: Any) -> Any:
        return requests.wire_response_format(value)

    @field_validator("batch_api")
    @classmethod
    def _check_batch_api(cls, value: Any) -> Any:
        if value is not None:
            from together_adapters.bulk.batch_api import BatchAPI

            if not isinstance(value, BatchAPI):
                raise ConfigurationError(f"batch_api must be a together_adapters.bulk.BatchAPI, not {type(value).__name__}")
        return value

    @classmethod
    def class_name(cls) -> str:
        return "TogetherLLM"

    @property
    def capabilities(self) -> Capabilities:
        """What is known of the model: from the service's catalogue after `refresh_metadata`, else from the capability table."""
        info = self._model_info
        return info if info is not None and info.name == self.model else capabilities(self.model)

    def refresh_metadata(self) -> LLMMetadata:
        """Take what the service's catalogue says of the model over the capability table, and return the metadata.

        Sends one request for each client. Fields that are set, such as `context_window`, stay.

        Raises:
            TogetherError: The request failed.
        """
        self._model_info = self.sync_client.models.info(self.model)
        return self.metadata

    async def arefresh_metadata(self) -> LLMMetadata:
        """Take what the service's catalogue says of the model; see `refresh_metadata`."""
        self._model_info = await self.asynchronous_client.models.info(self.model)
        return self.metadata

    @property
    def metadata(self) -> LLMMetadata:
        """The metadata of the model: fields that are set, else `capabilities`. Sends no request.

        Warns once about a model of which nothing is known and whose `context_window` is not set.
        """
        if self.context_window is None and self.model not in _warned_models and not self._is_known:
            _warned_models.add(self.model)
            warn_user(
                f"the context window of {self.model} is not known: {self.capabilities.context_length:,} tokens are assumed; "
                "set context_window, or call refresh_metadata()"
            )
        return self._metadata

    @property
    def _is_known(self) -> bool:
        return is_known(self.model) or getattr(self.capabilities, "source", None) == "service"

    @property
    def _metadata(self) -> LLMMetadata:
        return LLMMetadata(
            context_window=self.context_window or self.capabilities.context_length,
            num_output=self.num_output or self.max_tokens or -1,
            is_chat_model=self._is_chat,
            is_function_calling_model=self._supports_tools,
            model_name=self.model,
        )

    def to_payload(self) -> dict[str, Any]:
        """Return the payload of events about this model, without the key."""
        return {"class_name": self.class_name(), **self._metadata.model_dump(mode="json"), "api_base": self._host}

    @property
    def _is_chat(self) -> bool:
        return self.capabilities.type != "language" if self.is_chat_model is None else self.is_chat_model

    @property
    def _supports_tools(self) -> bool:
        return self.capabilities.tools if self.is_function_calling_model is None else self.is_function_calling_model

    # The eight endpoints

    def chat(self, messages: Iterable[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Return the response to a conversation.

        What assistant and tool messages hold that the API cannot express is told as text, or named in a `HistoryWarning`.

        Args:
            messages: The conversation.
            **kwargs: Request parameters for this call; unknown ones are sent unchanged, with a warning if they are nearly a known one.

        Raises:
            TogetherError: The request failed.
            TypeError: A message is no `ChatMessage`.
            ValueError: A message of the user or the system holds content that the API cannot express.
        """
        response: ChatResponse = WholeSession(self).chat(
            requests.message_list(messages), **kwargs
        )  # the events read the messages, too
        return response

    async def achat(self, messages: Iterable[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Return the response to a conversation; see `chat`."""
        response: ChatResponse = await WholeSession(self).achat(requests.message_list(messages), **kwargs)
        return response

    def stream_chat(self, messages: Iterable[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """Stream the response to a conversation: each item holds the message so far, and what is new as `delta`.

        Closing the generator closes the HTTP response.

        Raises:
            TogetherError: As `chat`; while iterating also where the stream is incomplete.
            ValueError: As `chat`, and for `n` above 1.
        """
        session = StreamingSession(self)
        return session.until_closed(session.chat(requests.message_list(messages), **kwargs))

    async def astream_chat(self, messages: Iterable[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        """Stream the response to a conversation; see `stream_chat`."""
        session = StreamingSession(self)
        return session.auntil_closed(await session.achat(requests.message_list(messages), **kwargs))

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Return the completion of a prompt, which chat models get as a message of the user.

        Args:
            prompt: The text.
            formatted: Whether it is already formatted for the model.
            **kwargs: Request parameters for this call.

        Raises:
            TogetherError: The request failed.
        """
        response: CompletionResponse = WholeSession(self).complete(prompt, formatted=formatted, **kwargs)
        return response

    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Return the completion of a prompt; see `complete`."""
        response: CompletionResponse = await WholeSession(self).acomplete(prompt, formatted=formatted, **kwargs)
        return response

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        """Stream the completion of a prompt; see `complete` and `stream_chat`."""
        session = StreamingSession(self)
        return session.until_closed(session.complete(prompt, formatted=formatted, **kwargs))

    async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseAsyncGen:
        """Stream the completion of a prompt; see `complete` and `stream_chat`."""
        session = StreamingSession(self)
        return session.auntil_closed(await session.acomplete(prompt, formatted=formatted, **kwargs))

    # Their descriptions

    def describe_chat(
        self, messages: Sequence[ChatMessage], kwargs: Mapping[str, Any], *, stream: bool = False
    ) -> EndpointCall[ChatResponse]:
        """Describe a chat call."""
        if self._is_chat:
            return self._chat(messages, kwargs, stream)
        call = self._completion(self.messages_to_prompt(messages), kwargs, stream)  # type: ignore[misc]
        return call.convert(responses.as_chat)

    def describe_completion(
        self, prompt: str, is_formatted: bool, kwargs: Mapping[str, Any], *, stream: bool = False
    ) -> EndpointCall[CompletionResponse]:
        """Describe a completion call."""
        if not isinstance(prompt, str):
            raise TypeError(f"the prompt must be a string, not {type(prompt).__name__}: chat() takes messages")
        prompt = prompt if is_formatted else self.completion_to_prompt(prompt)  # type: ignore[misc]
        if not self._is_chat:
            return self._completion(prompt, kwargs, stream)
        call = self._chat([ChatMessage(prompt)], kwargs, stream)
        return call.convert(responses.as_completion)

    def _chat(self, messages: Sequence[ChatMessage], kwargs: Mapping[str, Any], stream: bool) -> EndpointCall[ChatResponse]:
        call = {**self.additional_kwargs, **kwargs}
        call.pop(BATCH_API, None)
        tags = call.pop("reasoning_tags", self.reasoning_tags)
        parallel = call.pop("allow_parallel_tool_calls", True)
        replay = call.pop("replay_reasoning", self.replay_reasoning)
        if "tools" in call:
            call |= tool_params(requests.wire_tools(call.pop("tools")), call.pop("tool_choice", None))
        params = requests.merge_params(self._fields, call, requests.CHAT_PARAMS)
        if "response_format" in params:
            params["response_format"] = requests.wire_response_format(params["response_format"])
        model = self.capabilities if params["model"] == self.model else capabilities(params["model"])
        parser = responses.ChatParser(tags, parallel=parallel, style=model.reasoning)
        params["messages"] = requests.wire_messages(
            messages, replay_reasoning=replay, reasoning_style=model.reasoning, takes_images=model.vision
        )
        return _endpoint_call(chat_resource, params, parser, stream)

    def _completion(self, prompt: str, kwargs: Mapping[str, Any], stream: bool) -> EndpointCall[CompletionResponse]:
        call = {**self.additional_kwargs, **kwargs}
        call.pop(BATCH_API, None)
        params = requests.merge_params(self._fields, call, requests.COMPLETION_PARAMS)
        params["prompt"] = prompt
        return _endpoint_call(completions_resource, params, responses.CompletionParser(), stream)

    @property
    def _fields(self) -> dict[str, Any]:
        fields = self.__dict__
        return {name: fields[name] for name in requests.PARAM_FIELDS if fields[name] is not None}

    def _output_mode(self) -> type[OutputMode]:
        by_schema = self.should_use_structured_outputs
        return choose_mode(
            self.pydantic_program_mode,
            supports_chat=self._is_chat,
            supports_schema=self.capabilities.json_schema if by_schema is None else by_schema,
            supports_tools=self._supports_tools,
        )

    # Tools

    def _prepare_chat_with_tools(
        self,
        tools: Sequence[Any],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        tool_choice: str | dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Return the arguments of a chat call with tools. History and tools are not changed."""
        messages = list(chat_history or [])
        if user_msg is not None:
            messages.append(ChatMessage(role=MessageRole.USER, content=user_msg) if isinstance(user_msg, str) else user_msg)
        arguments: dict[str, Any] = {"messages": messages, **kwargs}
        if params := requests.tool_arguments(tools, tool_choice, required=tool_required):
            arguments |= params
            arguments["allow_parallel_tool_calls"] = allow_parallel_tool_calls
        return arguments

    def _validate_chat_with_tools_response(
        self, response: ChatResponse, tools: Sequence[Any], allow_parallel_tool_calls: bool = False, **kwargs: Any
    ) -> ChatResponse:
        if not allow_parallel_tool_calls:
            tool_calls.keep_first(response.message)
        return response

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        """Return the tool calls of a response, also of a partial one from a stream.

        Raises:
            RefusedError: There is none because the model refused, and `error_on_no_tool_call` is set.
            ValueError: There is none, and `error_on_no_tool_call` is set.
        """
        calls = tool_calls.tool_selections(response.message)
        if not calls and error_on_no_tool_call:
            raise_if_refused(response)
            raise ValueError(f"expected at least one tool call, but the response is {response.message.content!r}")
        return calls

    def predict_and_call(self, tools: Any, *args: Any, **kwargs: Any) -> Any:
        """Call the tool that the model chooses: by a tool call, or by prompt where it supports none."""
        return super().predict_and_call(tools, *args, **{**self._prompt_arguments(), **kwargs})

    async def apredict_and_call(self, tools: Any, *args: Any, **kwargs: Any) -> Any:
        """Call the tool that the model chooses; see `predict_and_call`."""
        return await super().apredict_and_call(tools, *args, **{**self._prompt_arguments(), **kwargs})

    def _prompt_arguments(self) -> dict[str, Any]:
        """Return the arguments that llama-index-core omits for the agent of a model without tools."""
        if self._supports_tools:
            return {}
        from llama_index.core.agent.react.formatter import ReActChatFormatter
        from llama_index.core.agent.react.output_parser import ReActOutputParser

        return {"react_chat_formatter": ReActChatFormatter.from_defaults(), "output_parser": ReActOutputParser()}


def _endpoint_call(resource: Any, params: dict[str, Any], parser: responses.ResponseParser[R], stream: bool) -> EndpointCall[R]:
    if stream:
        params.setdefault("stream_options", {"include_usage": True})
    return EndpointCall(resource.stream_completion if stream else resource.complete, params, ToolsThenFormat(params), parser)
