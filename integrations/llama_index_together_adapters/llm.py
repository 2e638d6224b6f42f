"""`TogetherLLM`: chat, completion and base models, with tools, reasoning and structured output."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar
from urllib.parse import urlsplit

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
    TextBlock,
)
from llama_index.core.bridge.pydantic import Field
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection

from llama_index_together_adapters import parameters, tool_calls
from llama_index_together_adapters import requests as outgoing
from llama_index_together_adapters import responses as incoming
from llama_index_together_adapters.connection import Connected
from llama_index_together_adapters.endpoint_calls import Pieces, Streaming, Whole
from llama_index_together_adapters.structured_output import StructuredOutput
from together_adapters.resources import chat as chat_resource
from together_adapters.resources import completions as completions_resource
from together_adapters.types.capabilities import DEFAULT_CHAT_MODEL, Capabilities, capabilities, is_known
from together_adapters.types.reasoning import THINK_TAGS

_told: set[str] = set()  # models whose context window was warned about


class TogetherLLM(Connected, StructuredOutput, FunctionCallingLLM):
    """A language model of Together AI.

    Every request parameter is a field here and a keyword of each call; the call wins. What is None is not sent, so the
    service's own defaults apply. Errors are those of `together_adapters.errors`.

    Example:
        >>> llm = TogetherLLM("meta-llama/Llama-3.3-70B-Instruct-Turbo")  # doctest: +SKIP
        >>> llm.complete("Name one prime number.").text  # doctest: +SKIP
        '2'

    Attributes:
        model: The model's name, or that of a dedicated endpoint.
        temperature: Randomness of sampling, from 0.
        max_tokens: Most tokens of an answer.
        context_window: Tokens of prompt and answer together. None takes it from the capability table.
        num_output: Tokens that prompts leave free for the answer. None for `max_tokens`, or what LlamaIndex assumes.
        is_chat_model: Whether the model chats; otherwise it goes on from a plain prompt. None asks the table.
        is_function_calling_model: Whether the model calls tools. None asks the table.
        should_use_structured_outputs: Whether structured output is asked for by JSON schema. None asks the table.
        additional_kwargs: Further request parameters; a call's own win over them.
        reasoning_tags: What reasoning at the head of a text opens and closes with; None leaves texts alone.
        validation_retries: How often an answer that is not the object that was asked for goes back to the model, with what is
            wrong with it.
        replay_reasoning: Whether reasoning in the history goes back to the model.
        extra_body: JSON fields that this library does not know.

    The request parameters mean what they mean in `together_adapters.types.chat.ChatParams`, the settings of the connection
    (`api_key`, `api_base`, `timeout`, `max_retries`, `max_elapsed`, `default_headers`, `default_query`, `client`,
    `async_client`) what they mean in `together_adapters.Together`.
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

    moot: ClassVar[frozenset[str]] = frozenset({"class_name", "api_version", "reuse_client", "strict", "tokenizer"})

    def __init__(
        self,
        model: str = DEFAULT_CHAT_MODEL,
        api_key: str | None = None,
        api_base: str | None = None,
        is_chat_model: bool | None = None,
        **kwargs: Any,
    ) -> None:
        """Set up a model. Nothing is sent, and no connection is opened, until the first call.

        Args:
            model: The model's name, or that of a dedicated endpoint.
            api_key: The key; else `TOGETHER_API_KEY`.
            api_base: Where to send; else `TOGETHER_BASE_URL`, `TOGETHER_API_BASE`, the service.
            is_chat_model: Whether the model chats; None asks the capability table.
            **kwargs: Any other field.

        Raises:
            ConfigurationError: There is neither a key nor a client.
        """
        super().__init__(model=model, api_key=api_key, api_base=api_base, is_chat_model=is_chat_model, **kwargs)

    @classmethod
    def class_name(cls) -> str:
        """The name under which LlamaIndex serializes this class."""
        return "TogetherLLM"

    @property
    def capabilities(self) -> Capabilities:
        """What the capability table knows about the model."""
        return capabilities(self.model)

    @property
    def metadata(self) -> LLMMetadata:
        """What LlamaIndex asks of a model: fields that are set, else the capability table. Nothing is sent.

        Of a model that is in no table, and whose `context_window` is not set, the first question warns.
        """
        if self.context_window is None and self.model not in _told and not is_known(self.model):
            _told.add(self.model)
            warnings.warn(
                f"the context window of {self.model} is not known: {self.capabilities.context_length:,} tokens are assumed; "
                "set context_window",
                UserWarning,
                stacklevel=2,
            )
        return self._metadata

    @property
    def _metadata(self) -> LLMMetadata:
        return LLMMetadata(
            context_window=self.context_window or self.capabilities.context_length,
            num_output=self.num_output or self.max_tokens or -1,
            is_chat_model=self._chats,
            is_function_calling_model=self._calls_functions,
            model_name=self.model,
        )

    def to_payload(self) -> dict[str, Any]:
        """Return what events may show of this model; never a key."""
        host = urlsplit(self.api_base or "").netloc
        return {"class_name": self.class_name(), **self._metadata.model_dump(mode="json"), "api_base": host}

    @property
    def _chats(self) -> bool:
        return self.capabilities.type != "language" if self.is_chat_model is None else self.is_chat_model

    @property
    def _calls_functions(self) -> bool:
        return self.capabilities.tools if self.is_function_calling_model is None else self.is_function_calling_model

    # The eight endpoints

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer a conversation.

        Args:
            messages: The conversation.
            **kwargs: Request parameters for this call; those that this library does not know are sent as they are.

        Raises:
            TogetherError: No answer came, or the service refused.
            ValueError: A message holds content that the API cannot express.
        """
        exchange = self.describe_chat(messages, kwargs)
        return exchange.read(self.sync_client.perform(exchange.call))

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer a conversation, as `chat` does."""
        exchange = self.describe_chat(messages, kwargs)
        return exchange.read(await self.asynchronous_client.perform(exchange.call))

    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """Answer a conversation in pieces: each response holds the message so far, and what is new as `delta`.

        Closing the generator closes the HTTP response.

        Raises:
            TogetherError: As `chat`; while iterating also where the answer broke off.
            ValueError: As `chat`, and for `n` above 1.
        """
        streaming = Streaming(self)
        return streaming.until_closed(streaming.chat(messages, **kwargs))

    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        """Answer a conversation in pieces, as `stream_chat` does."""
        streaming = Streaming(self)
        return streaming.auntil_closed(await streaming.achat(messages, **kwargs))

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Go on from a prompt; a chat model takes it as a message of the user.

        Args:
            prompt: The text.
            formatted: Whether it is formatted for the model already.
            **kwargs: Request parameters for this call.

        Raises:
            TogetherError: No answer came, or the service refused.
        """
        exchange = self.describe_completion(prompt, formatted, kwargs)
        return exchange.read(self.sync_client.perform(exchange.call))

    @llm_completion_callback()
    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Go on from a prompt, as `complete` does."""
        exchange = self.describe_completion(prompt, formatted, kwargs)
        return exchange.read(await self.asynchronous_client.perform(exchange.call))

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        """Go on from a prompt in pieces, as `complete` and `stream_chat` do."""
        streaming = Streaming(self)
        return streaming.until_closed(streaming.complete(prompt, formatted=formatted, **kwargs))

    async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseAsyncGen:
        """Go on from a prompt in pieces, as `complete` and `stream_chat` do."""
        streaming = Streaming(self)
        return streaming.auntil_closed(await streaming.acomplete(prompt, formatted=formatted, **kwargs))

    # What they send

    def describe_chat(self, messages: Sequence[ChatMessage], kwargs: Mapping[str, Any]) -> Whole[ChatResponse]:
        """Describe a chat call: what to send, and how to read the answer."""
        if not self._chats:
            completion = self._whole_completion(self._as_prompt(messages), kwargs)
            return Whole(completion.call, lambda body: incoming.as_chat(completion.read(body)))
        return self._whole_chat(messages, kwargs)

    def describe_chat_stream(self, messages: Sequence[ChatMessage], kwargs: Mapping[str, Any]) -> Pieces[ChatResponse]:
        """Describe a streamed chat call."""
        if not self._chats:
            completion = self._streamed_completion(self._as_prompt(messages), kwargs)
            return Pieces(completion.call, incoming.AsChats(completion.chunks))
        return self._streamed_chat(messages, kwargs)

    def describe_completion(self, prompt: str, formatted: bool, kwargs: Mapping[str, Any]) -> Whole[CompletionResponse]:
        """Describe a completion call: what to send, and how to read the answer."""
        if not self._chats:
            return self._whole_completion(self._completed(prompt, formatted), kwargs)
        chat = self._whole_chat(_asked(self._completed(prompt, formatted)), kwargs)
        return Whole(chat.call, lambda body: incoming.as_completion(chat.read(body)))

    def describe_completion_stream(self, prompt: str, formatted: bool, kwargs: Mapping[str, Any]) -> Pieces[CompletionResponse]:
        """Describe a streamed completion call."""
        if not self._chats:
            return self._streamed_completion(self._completed(prompt, formatted), kwargs)
        chat = self._streamed_chat(_asked(self._completed(prompt, formatted)), kwargs)
        return Pieces(chat.call, incoming.AsCompletions(chat.chunks))

    def _whole_chat(self, messages: Sequence[ChatMessage], kwargs: Mapping[str, Any]) -> Whole[ChatResponse]:
        params, reading = self._chat_params(messages, kwargs)
        return Whole(chat_resource.complete(**params).untyped(), partial(incoming.chat_response, **reading))

    def _streamed_chat(self, messages: Sequence[ChatMessage], kwargs: Mapping[str, Any]) -> Pieces[ChatResponse]:
        params, reading = self._chat_params(messages, kwargs)
        params.setdefault("stream_options", {"include_usage": True})
        return Pieces(chat_resource.stream_completion(**params).untyped(), incoming.ChatChunks(**reading))

    def _whole_completion(self, prompt: str, kwargs: Mapping[str, Any]) -> Whole[CompletionResponse]:
        params = self._completion_params(prompt, kwargs)
        return Whole(completions_resource.complete(**params).untyped(), incoming.completion_response)

    def _streamed_completion(self, prompt: str, kwargs: Mapping[str, Any]) -> Pieces[CompletionResponse]:
        params = self._completion_params(prompt, kwargs)
        params.setdefault("stream_options", {"include_usage": True})
        return Pieces(completions_resource.stream_completion(**params).untyped(), incoming.CompletionChunks())

    def _chat_params(self, messages: Sequence[ChatMessage], kwargs: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the parameters of a request, and how its answer is to be read."""
        given = {**self.additional_kwargs, **kwargs}
        reading = {
            "parallel": given.pop("allow_parallel_tool_calls", True),
            "tags": given.pop("reasoning_tags", self.reasoning_tags),
        }
        replay = given.pop("replay_reasoning", self.replay_reasoning)
        if "tools" in given:
            given["tools"] = outgoing.wire_tools(given["tools"])
        params = parameters.merge(self._fields, given, parameters.CHAT)
        params["messages"] = outgoing.wire_messages(messages, replay_reasoning=replay)
        return params, reading

    def _completion_params(self, prompt: str, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        params = parameters.merge(self._fields, {**self.additional_kwargs, **kwargs}, parameters.COMPLETION)
        return {**params, "prompt": prompt}

    def _as_prompt(self, messages: Sequence[ChatMessage]) -> str:
        return self.messages_to_prompt(messages)  # type: ignore[misc]

    def _completed(self, prompt: str, formatted: bool) -> str:
        return prompt if formatted else self.completion_to_prompt(prompt)  # type: ignore[misc]

    @property
    def _fields(self) -> dict[str, Any]:
        mine = self.__dict__
        return {name: mine[name] for name in parameters.FIELDS if mine[name] is not None}

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
        """Return the arguments of a chat call with tools. Neither the history nor the tools are changed."""
        messages = list(chat_history or [])
        if user_msg is not None:
            messages.append(ChatMessage(role=MessageRole.USER, content=user_msg) if isinstance(user_msg, str) else user_msg)
        prepared: dict[str, Any] = {"messages": messages, **kwargs}
        if wire := outgoing.wire_tools(tools):
            prepared["tools"] = wire
            prepared["tool_choice"] = outgoing.wire_tool_choice(tool_choice, required=tool_required)
            prepared["allow_parallel_tool_calls"] = allow_parallel_tool_calls
        return prepared

    def _validate_chat_with_tools_response(
        self, response: ChatResponse, tools: Sequence[Any], allow_parallel_tool_calls: bool = False, **kwargs: Any
    ) -> ChatResponse:
        if not allow_parallel_tool_calls:
            tool_calls.keep_first(response.message)
        return response

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        """Return the tool calls of a response, also of one that is still streaming.

        Raises:
            ValueError: There is none, and `error_on_no_tool_call` is set.
        """
        calls = tool_calls.select(response.message)
        if not calls and error_on_no_tool_call:
            raise ValueError(f"expected at least one tool call, but the model answered {response.message.content!r}")
        return calls

    def predict_and_call(self, tools: Any, *args: Any, **kwargs: Any) -> Any:
        """Let the model choose a tool, and call it. A model without tools of its own does so by prompt."""
        return super().predict_and_call(tools, *args, **{**self._by_prompt(), **kwargs})

    async def apredict_and_call(self, tools: Any, *args: Any, **kwargs: Any) -> Any:
        """Let the model choose a tool, and call it, as `predict_and_call` does."""
        return await super().apredict_and_call(tools, *args, **{**self._by_prompt(), **kwargs})

    def _by_prompt(self) -> dict[str, Any]:
        """What core forgets to give the agent it makes for a model without tools."""
        if self._calls_functions:
            return {}
        from llama_index.core.agent.react.formatter import ReActChatFormatter
        from llama_index.core.agent.react.output_parser import ReActOutputParser

        return {"react_chat_formatter": ReActChatFormatter.from_defaults(), "output_parser": ReActOutputParser()}


def _asked(prompt: str) -> list[ChatMessage]:
    return [ChatMessage(role=MessageRole.USER, blocks=[TextBlock(text=prompt)])]
