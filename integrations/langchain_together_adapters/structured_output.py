"""Structured output: for each method the parameters of the request and the parser of the response. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal

from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import BaseOutputParser, JsonOutputParser, PydanticOutputParser
from langchain_core.output_parsers.openai_tools import JsonOutputKeyToolsParser, PydanticToolsParser
from langchain_core.outputs import Generation
from langchain_core.runnables import Runnable, RunnablePassthrough
from langchain_core.utils.json import parse_json_markdown
from langchain_core.utils.pydantic import is_basemodel_subclass

from langchain_together_adapters.bulk.raw_map import RawMap
from langchain_together_adapters.refusals import raise_if_refused
from langchain_together_adapters.tools import (
    RELAX_TOOL_CHOICE,
    declared_strict,
    enum_model,
    is_enum,
    json_schema,
    schema_format,
    wire_tools,
)

if TYPE_CHECKING:
    from langchain_core.language_models import ModelProfile

Method = Literal["function_calling", "json_schema", "json_mode", "regex"]
_DECODER = json.JSONDecoder(strict=False)  # models put raw line breaks into strings
OutputMethod = tuple[dict[str, Any], Runnable[Any, Any]]
"""The parameters that request structured output, and the parser of the message."""


def default_method(profile: ModelProfile | None) -> Method:
    """Return the most reliable method that a model supports."""
    profile = profile or {}
    if profile.get("structured_output"):
        return "json_schema"
    return "function_calling" if profile.get("tool_calling", True) else "json_mode"


def output_method(
    schema: Any, method: Method, *, strict: bool | None, tool_choice: Any, bind_tools: Callable[..., Any]
) -> OutputMethod:
    """Return parameters and parser of a method; `ValueError` where the schema is missing or the method is unknown."""
    if method == "regex":
        return _regex(schema)
    if is_enum(schema):
        settings: dict[str, Any] = {"strict": strict, "tool_choice": tool_choice, "bind_tools": bind_tools}
        params, parser = output_method(enum_model(schema), method, **settings)
        return params, parser | _member
    if schema is None and method != "json_mode":
        raise ValueError(f"method {method!r} needs a schema")
    if method == "function_calling":
        return _function_calling(schema, strict, tool_choice, bind_tools)
    if method == "json_schema":
        enforced = declared_strict(schema) if strict is None else strict
        response_format = schema_format(json_schema(schema, strict=strict), strict=enforced)
        params = {"response_format": response_format, **_trace_params(method, strict, schema)}
        return params, _message_parser(schema)
    if method == "json_mode":
        trace = _trace_params(method, None, schema) if schema is not None else {}
        return {"response_format": {"type": "json_object"}, **trace}, _message_parser(schema)
    raise ValueError(f"unknown method {method!r}: function_calling, json_schema, json_mode or regex")


def _member(parsed: Any) -> Any:
    """Return the member of an enumeration; None where the model called a tool instead."""
    return None if parsed is None else parsed.value


def _trace_params(method: str, strict: bool | None, schema: Any) -> dict[str, Any]:
    """Return what LangSmith shows of structured output."""
    kwargs = {"method": method} if strict is None else {"method": method, "strict": strict}
    return {"ls_structured_output_format": {"kwargs": kwargs, "schema": schema}}


def _function_calling(schema: Any, strict: bool | None, tool_choice: Any, bind_tools: Callable[..., Any]) -> OutputMethod:
    name = wire_tools([schema])[0]["function"]["name"]
    bound = bind_tools([schema], tool_choice=name if tool_choice is None else tool_choice, strict=strict)
    params = {**bound.kwargs, RELAX_TOOL_CHOICE: True, **_trace_params("function_calling", strict, schema)}
    if _is_model(schema):
        return params, _CalledModelParser(tools=[schema], first_tool_only=True)
    return params, _CalledObjectParser(key_name=name, first_tool_only=True)


def _regex(schema: Any) -> OutputMethod:
    pattern = schema.pattern if isinstance(schema, re.Pattern) else schema
    if not isinstance(pattern, str):
        raise ValueError("method 'regex' needs a pattern: a string or a compiled regular expression")
    trace_schema = {"title": "regex", "type": "object", "properties": {"text": {"type": "string", "pattern": pattern}}}
    params = {"response_format": {"type": "regex", "pattern": pattern}, **_trace_params("regex", None, trace_schema)}
    return params, _PatternParser(pattern=pattern)


class _PatternParser(BaseOutputParser[str]):
    """Returns a text that matches a pattern in full."""

    pattern: str

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> str:
        raise_if_refused(result)
        return super().parse_result(result, partial=partial)

    def parse(self, text: str) -> str:
        if re.fullmatch(self.pattern, text, re.DOTALL) is None:
            raise OutputParserException(f"the response does not match {self.pattern!r}: {text!r}", llm_output=text)
        return text


class _ObjectParser(JsonOutputParser):
    """Parses a JSON object, and nothing else; None where the model called a tool instead."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        raise_if_refused(result)
        if _calls_tools(result):
            return None
        _check_completion(result, partial)
        parsed = super().parse_result(result, partial=partial)
        if not partial and not isinstance(parsed, dict):
            text = result[0].text
            raise OutputParserException(f"expected a JSON object, but the response is {text!r}", llm_output=text)
        return parsed


class _ModelParser(PydanticOutputParser[Any]):
    """Parses an instance of a pydantic class; None where the model called a tool instead."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        raise_if_refused(result)
        if _calls_tools(result):
            return None
        _check_completion(result, partial)
        return super().parse_result(result, partial=partial)


class _CalledModelParser(PydanticToolsParser):
    """Parses the arguments of a tool call as an instance of a pydantic class; None without a call."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        raise_if_refused(result)
        return _check_call(result, super().parse_result(result, partial=partial), partial)


class _CalledObjectParser(JsonOutputKeyToolsParser):
    """Parses the arguments of a tool call as a dict; None without a call."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        raise_if_refused(result)
        return _check_call(result, super().parse_result(result, partial=partial), partial)


def _check_call(result: list[Generation], parsed: Any, partial: bool) -> Any:
    """Return what was parsed; raise where nothing was, because the call is broken or of another tool."""
    message = getattr(result[0], "message", None) if result else None
    if parsed is not None or partial or not isinstance(message, AIMessage):
        return parsed
    for call in (*message.invalid_tool_calls, *message.tool_calls):
        problem = call.get("error") or "there is no such tool"
        text = f"the model's call of {call['name']!r} is invalid: {problem}; its arguments are {call['args']!r:.400}"
        raise OutputParserException(text, llm_output=str(call["args"]))
    return None


def _calls_tools(result: list[Generation]) -> bool:
    message = getattr(result[0], "message", None) if result else None
    return isinstance(message, AIMessage) and bool(message.tool_calls or message.invalid_tool_calls)


def _check_completion(result: list[Generation], partial: bool) -> None:
    """Raise where the JSON is cut off, which langchain-core would complete."""
    message = getattr(result[0], "message", None) if result else None
    if partial or not isinstance(message, AIMessage):
        return
    text = result[0].text
    try:
        parse_json_markdown(text, parser=_first_value)
    except (ValueError, RecursionError):
        is_long = message.response_metadata.get("finish_reason") == "length"
        problem = "is truncated, max_tokens is too low" if is_long else "is no complete JSON"
        raise OutputParserException(f"the response {problem}: {text!r}", llm_output=text) from None


def _first_value(text: str) -> Any:
    return _DECODER.raw_decode(text.strip())[0]


def _message_parser(schema: Any) -> Runnable[Any, Any]:
    return _ModelParser(pydantic_object=schema) if _is_model(schema) else _ObjectParser()


def _is_model(schema: Any) -> bool:
    return isinstance(schema, type) and is_basemodel_subclass(schema)


def with_parser(model: Runnable[Any, Any], parser: Runnable[Any, Any], include_raw: bool) -> Runnable[Any, Any]:
    """Return the model followed by the parser; with `include_raw`, a runnable of `{"raw", "parsed", "parsing_error"}`."""
    if not include_raw:
        return model | parser
    success = RunnablePassthrough.assign(parsed=itemgetter("raw") | parser, parsing_error=lambda _: None)
    failure = RunnablePassthrough.assign(parsed=lambda _: None)
    return RawMap(steps__={"raw": model}) | success.with_fallbacks([failure], exception_key="parsing_error")
