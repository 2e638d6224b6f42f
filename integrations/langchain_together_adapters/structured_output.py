"""Answers in the shape of a schema: which request asks for it, and which parser reads it. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import BaseOutputParser, JsonOutputParser, PydanticOutputParser
from langchain_core.output_parsers.openai_tools import JsonOutputKeyToolsParser, PydanticToolsParser
from langchain_core.outputs import Generation
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.utils.json import parse_json_markdown
from langchain_core.utils.pydantic import is_basemodel_subclass

from langchain_together_adapters.chat_request import RELAX
from langchain_together_adapters.errors import RefusedError, as_model_error
from langchain_together_adapters.tools import json_schema, schema_format, wire_tools

if TYPE_CHECKING:
    from langchain_core.language_models import ModelProfile

Method = Literal["function_calling", "json_schema", "json_mode", "regex"]


class Plan(NamedTuple):
    """How a structured answer is asked for and read.

    Attributes:
        options: What is bound to the model.
        parser: What reads its message.
    """

    options: dict[str, Any]
    parser: Runnable[Any, Any]


def default_method(profile: ModelProfile | None) -> Method:
    """Return the method that suits a model best."""
    known = profile or {}
    if known.get("structured_output"):
        return "json_schema"
    return "function_calling" if known.get("tool_calling", True) else "json_mode"


def plan(schema: Any, method: Method, *, strict: bool | None, tool_choice: Any, bind_tools: Callable[..., Any]) -> Plan:
    """Return how to ask for a schema by a method.

    Args:
        schema: A pydantic class, a TypedDict, a JSON schema or a tool; a pattern for `regex`.
        method: How the model is held to it.
        strict: Whether it is held to it to the letter; not said when None.
        tool_choice: Which tool is forced, for `function_calling`.
        bind_tools: The model's own, as `function_calling` needs it.

    Raises:
        ValueError: The schema is missing, or the method is unknown.
    """
    if method == "regex":
        return _regex(schema)
    if schema is None and method != "json_mode":
        raise ValueError(f"method {method!r} needs a schema")
    if method == "function_calling":
        return _function_calling(schema, strict, tool_choice, bind_tools)
    if method == "json_schema":
        shape = json_schema(schema, strict=strict)
        options = {"response_format": schema_format(shape, strict=strict)}
        return Plan({**options, **_traced(method, strict, schema)}, _message_parser(schema))
    if method == "json_mode":
        traced = _traced(method, None, schema) if schema is not None else {}
        return Plan({"response_format": {"type": "json_object"}, **traced}, _message_parser(schema))
    raise ValueError(f"unknown method {method!r}: function_calling, json_schema, json_mode or regex")


def _traced(method: str, strict: bool | None, schema: Any) -> dict[str, Any]:
    """What LangSmith shows of a structured answer."""
    kwargs = {"method": method} if strict is None else {"method": method, "strict": strict}
    return {"ls_structured_output_format": {"kwargs": kwargs, "schema": schema}}


def _function_calling(schema: Any, strict: bool | None, tool_choice: Any, bind_tools: Callable[..., Any]) -> Plan:
    name = wire_tools([schema])[0]["function"]["name"]
    bound = bind_tools([schema], tool_choice=name if tool_choice is None else tool_choice, strict=strict)
    parser: BaseOutputParser[Any]
    if _is_model(schema):
        parser = PydanticToolsParser(tools=[schema], first_tool_only=True)
    else:
        parser = JsonOutputKeyToolsParser(key_name=name, first_tool_only=True)
    return Plan({**bound.kwargs, RELAX: True, **_traced("function_calling", strict, schema)}, parser)


def _regex(schema: Any) -> Plan:
    pattern = schema.pattern if isinstance(schema, re.Pattern) else schema
    if not isinstance(pattern, str):
        raise ValueError("method 'regex' needs a pattern: a string or a compiled regular expression")
    shown = {"title": "regex", "type": "object", "properties": {"text": {"type": "string", "pattern": pattern}}}
    options = {"response_format": {"type": "regex", "pattern": pattern}, **_traced("regex", None, shown)}
    return Plan(options, _PatternParser(pattern=pattern))


class _PatternParser(BaseOutputParser[str]):
    """Returns text that matches a pattern as a whole."""

    pattern: str

    def parse(self, text: str) -> str:
        if re.fullmatch(self.pattern, text, re.DOTALL) is None:
            raise OutputParserException(f"the answer does not match {self.pattern!r}: {text!r}", llm_output=text)
        return text


class _ObjectParser(JsonOutputParser):
    """Reads a JSON object, and nothing else."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        _raise_if_refused(result)
        if not partial:
            _raise_if_cut(result)
        parsed = super().parse_result(result, partial=partial)
        if not partial and not isinstance(parsed, dict):
            text = result[0].text
            raise OutputParserException(f"a JSON object was expected, but the answer is {text!r}", llm_output=text)
        return parsed


class _ModelParser(PydanticOutputParser[Any]):
    """Reads an instance of a pydantic class."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        _raise_if_refused(result)
        if not partial:
            _raise_if_cut(result)
        return super().parse_result(result, partial=partial)


def _raise_if_refused(result: list[Generation]) -> None:
    message = getattr(result[0], "message", None) if result else None
    refusal = message.additional_kwargs.get("refusal") if isinstance(message, AIMessage) else None
    if refusal and not result[0].text:
        raise as_model_error(RefusedError)(str(refusal))


def _raise_if_cut(result: list[Generation]) -> None:
    """Raise when `max_tokens` cut an object: langchain-core would close it, with half a value at its end."""
    message = getattr(result[0], "message", None) if result else None
    if not isinstance(message, AIMessage) or message.response_metadata.get("finish_reason") != "length":
        return
    text = result[0].text
    try:
        parse_json_markdown(text, parser=json.loads)
    except ValueError:
        raise OutputParserException(f"the answer is cut short, max_tokens is too low: {text!r}", llm_output=text) from None


def _message_parser(schema: Any) -> Runnable[Any, Any]:
    return _ModelParser(pydantic_object=schema) if _is_model(schema) else _ObjectParser()


def _is_model(schema: Any) -> bool:
    return isinstance(schema, type) and is_basemodel_subclass(schema)


def assembled(model: Runnable[Any, Any], parser: Runnable[Any, Any], include_raw: bool) -> Runnable[Any, Any]:
    """Return model and parser in a row; with `include_raw`, as `{"raw", "parsed", "parsing_error"}`."""
    if not include_raw:
        return model | parser
    parsed = RunnablePassthrough.assign(parsed=itemgetter("raw") | parser, parsing_error=lambda _: None)
    unparsed = RunnablePassthrough.assign(parsed=lambda _: None)
    return RunnableMap(raw=model) | parsed.with_fallbacks([unparsed], exception_key="parsing_error")
