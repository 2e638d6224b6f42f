"""Structured output by JSON schema, by a tool call, or by prompt: the request and the parsing, also of partial objects. Pure."""

from __future__ import annotations

import json
from functools import lru_cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole, TextBlock, ToolCallBlock
from llama_index.core.program.utils import FlexibleModel
from llama_index.core.types import PydanticProgramMode
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic_core import from_json

from llama_index_together_adapters.requests import wire_response_format
from llama_index_together_adapters.tool_calls import has_grown
from together_adapters.adapters.tool_call_deltas import parse_arguments

_MAX_PROBLEMS = 5
_WITHOUT_TOOLS: dict[str, None] = dict.fromkeys(("tools", "tool_choice", "parallel_tool_calls"))


class OutputMode:
    """How objects of a model class are requested, with the `kwargs` of the chat call, and parsed."""

    def __init__(self, output_cls: type[BaseModel], kwargs: dict[str, Any]) -> None:
        self.output_cls = output_cls
        self.kwargs: dict[str, Any] = {**kwargs, **_WITHOUT_TOOLS}  # an object is asked for: nobody would run a tool

    def messages(self, messages: list[ChatMessage]) -> list[ChatMessage]:
        """Return the messages to send."""
        return messages

    def text(self, response: ChatResponse) -> str:
        """Return the part of a response that holds the object, as JSON."""
        return response.message.content or ""

    def correction(self, response: ChatResponse, error: ValueError) -> list[ChatMessage]:
        """Return the messages that continue the conversation after an invalid response: the response and its problems."""
        text = f"{_problems(error)}\nReturn the complete object again, corrected."
        calls = [block for block in response.message.blocks if isinstance(block, ToolCallBlock)]
        results = [
            ChatMessage(role=MessageRole.TOOL, content=text, additional_kwargs={"tool_call_id": call.tool_call_id})
            for call in calls
        ]
        return [response.message, *(results or [ChatMessage(role=MessageRole.USER, content=text)])]

    def parse(self, response: ChatResponse) -> BaseModel:
        """Return the object of a complete response; `ValueError` where it holds none."""
        text = self.text(response)
        try:
            return self._validate(text)
        except ValidationError as error:
            excerpt = text if len(text) < 400 else f"{text[:400]}..."
            first = error.errors()[0]
            raise ValueError(
                f"the response is not a {self.output_cls.__name__}: {error.error_count()} problems, the first: "
                f"{first['msg']} at {_path(first['loc'])}; the response is {excerpt!r}"
            ) from error

    def _validate(self, text: str) -> BaseModel:
        json_text = _json_object(text)
        try:
            return self.output_cls.model_validate_json(json_text)
        except ValidationError as error:
            # Models put raw line breaks into strings, and encode arguments twice.
            value = error.errors()[0]["type"] == "json_invalid" and (parse_arguments(json_text) or parse_arguments(text))
            if not value:
                raise
            return self.output_cls.model_validate_json(json.dumps(value))


class SchemaMode(OutputMode):
    """By `response_format`: the service constrains the model to the schema."""

    def __init__(self, output_cls: type[BaseModel], kwargs: dict[str, Any]) -> None:
        super().__init__(output_cls, {"response_format": wire_response_format(output_cls), **kwargs})


class ToolMode(OutputMode):
    """By a tool that the model must call."""

    def __init__(self, output_cls: type[BaseModel], kwargs: dict[str, Any]) -> None:
        from llama_index.core.program.function_program import get_function_tool

        tool = get_function_tool(output_cls).metadata.to_openai_tool(skip_length_check=True)
        super().__init__(output_cls, kwargs)
        self.kwargs |= {"tools": [tool], "tool_choice": "required", "allow_parallel_tool_calls": False, "response_format": None}
        self.kwargs.pop("tool_required", None)

    def text(self, response: ChatResponse) -> str:
        """Return the arguments of the call, or the text where the model made none."""
        calls = response.message.additional_kwargs.get("tool_calls")
        return str(calls[0]["function"]["arguments"] or "{}") if calls else response.message.content or ""


class PromptMode(OutputMode):
    """By prompt: the schema stands at the end of the conversation, in a message of the user."""

    def messages(self, messages: list[ChatMessage]) -> list[ChatMessage]:
        """Return the messages with the schema, in the last one if it is the user's; a system message or a result is no request."""
        from llama_index.core.output_parsers.pydantic import PydanticOutputParser

        text = PydanticOutputParser(output_cls=self.output_cls).get_format_string(escape_json=False)
        if not messages or messages[-1].role is not MessageRole.USER:
            return [*messages, ChatMessage(text.strip())]
        last = messages[-1]
        return [*messages[:-1], last.model_copy(update={"blocks": [*last.blocks, TextBlock(text=text)]})]


def choose_mode(
    mode: PydanticProgramMode, *, supports_chat: bool, supports_schema: bool, supports_tools: bool
) -> type[OutputMode]:
    """Return the mode for a model: by schema where it can, else by tool call, else by prompt."""
    if mode is PydanticProgramMode.LLM or not supports_chat:
        return PromptMode
    if supports_schema and mode is not PydanticProgramMode.FUNCTION:
        return SchemaMode
    return ToolMode if supports_tools or mode is PydanticProgramMode.FUNCTION else PromptMode


def _json_object(text: str) -> str:
    """Return the JSON object in a text, which models also put in code fences or between words."""
    start, end = text.find("{"), text.rfind("}")
    return text[start : end + 1] if 0 <= start < end else text


def _path(location: tuple[int | str, ...]) -> str:
    return ".".join(map(str, location)) or "the top"


def _problems(error: ValueError) -> str:
    """Return the problems of an object as a list for the model."""
    cause = error.__cause__
    if not isinstance(cause, ValidationError):
        return str(error)
    problems = [f"- {_path(problem['loc'])}: {problem['msg']}" for problem in cause.errors()[:_MAX_PROBLEMS]]
    return "\n".join([f"This is not a {cause.title}:", *problems])


class PartialObjects:
    """Parses partial objects in time that is linear in the length of the text; `response` is the last one."""

    def __init__(self, mode: OutputMode) -> None:
        self.response = ChatResponse(message=ChatMessage())
        self._mode = mode
        self._parsed_size = 0

    def feed(self, response: ChatResponse) -> Any:
        """Return the object so far, which may be incomplete, or None where nothing is new."""
        self.response = response
        text = self._mode.text(response)
        if len(text) == self._parsed_size or not has_grown(len(text), self._parsed_size):
            return None
        self._parsed_size = len(text)
        start = text.find("{")
        try:
            value = from_json(text[start:], allow_partial="trailing-strings") if start >= 0 else None
        except ValueError:
            return None
        if not isinstance(value, dict) or not value:
            return None
        output_cls = self._mode.output_cls
        try:
            return output_cls.model_validate(value)
        except ValidationError:
            return incomplete(output_cls).model_validate(value)


class _Incomplete(FlexibleModel):
    model_config = ConfigDict(extra="allow", populate_by_name=True, protected_namespaces=())


@lru_cache(maxsize=256)
def incomplete(model: type[BaseModel]) -> type[BaseModel]:
    """Return a model whose fields may be missing or incomplete, at every depth; LlamaIndex's own does so at the top alone."""
    fields: dict[str, Any] = {
        name: (_partial_type(field.annotation, (model,)), Field(default=None, validation_alias=field.validation_alias))
        for name, field in model.model_fields.items()
    }
    return create_model(f"Incomplete{model.__name__}", __base__=_Incomplete, **fields)


def _partial_type(annotation: Any, parents: tuple[type[BaseModel], ...]) -> Any:
    """Return the type of a value that is being streamed: models become incomplete ones, and other values are not validated."""
    models = [kind for kind in _alternatives(annotation) if isinstance(kind, type) and issubclass(kind, BaseModel)]
    kinds: list[Any] = [incomplete(kind) for kind in models if kind not in parents]
    for kind in _alternatives(annotation):
        origin, inner = get_origin(kind), get_args(kind)
        if origin in (list, tuple, dict) and inner:
            item = _partial_type(inner[-1] if inner[-1] is not ... else inner[0], parents)
            kinds.append(dict[str, item] if origin is dict else list[item])  # type: ignore[valid-type]
    return Annotated[Union[(*kinds, Any)], Field(union_mode="left_to_right")] if kinds else Any


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) is Annotated:
        return _alternatives(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return tuple(kind for each in get_args(annotation) for kind in _alternatives(each))
    return (annotation,)
