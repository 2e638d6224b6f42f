"""What LangChain may know of a model: its `ModelProfile`, from the table and the service's catalogue. Pure.

A key is there if a source says so of the model, or if it follows from the API: a chat completion is text, and takes no PDF. What nobody
says is left out: the dates of a model, its default effort, and whether its weights are open. Tools and structured output are always
there, because the adapter chooses a method by them; for a model of which nobody says, they are what the adapter assumes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from langchain_core.language_models import ModelProfile

from together_adapters.types.capabilities import Capabilities, capabilities, table_facts

if TYPE_CHECKING:
    from together_adapters.types.models import ModelInfo

_OF_THE_API: Final = {
    **dict.fromkeys(("text_inputs", "text_outputs", "temperature", "mid_conversation_system_messages"), True),
    **dict.fromkeys(("pdf_inputs", "pdf_tool_message", "mid_conversation_tools"), False),
    **dict.fromkeys(("image_outputs", "audio_outputs", "video_outputs"), False),
}
_KEYS: Final = {
    "context_length": ("max_input_tokens",),
    "max_output_tokens": ("max_output_tokens",),
    "vision": ("image_inputs", "image_url_inputs", "image_tool_message"),  # an image of a tool moves to a user's message
    "audio": ("audio_inputs",),
    "video": ("video_inputs",),
}
_EFFORTS: Final = ["low", "medium", "high"]  # of the gpt-oss family, by the vendor's documentation


def profile(model: str) -> ModelProfile:
    """Return the profile of a chat model by the table."""
    return _profile(table_facts(model), capabilities(model))


def catalogue_profile(info: ModelInfo) -> ModelProfile:
    """Return the profile of a chat model by the service's catalogue, over the table; nothing where neither has it."""
    if info.source == "unknown":
        return {}
    facts = table_facts(info.name)
    names = {"name": info.display_name} if info.display_name else {}
    if info.source == "service" and info.context_length != Capabilities().context_length:
        facts = {**facts, "context_length": info.context_length}
    return cast("ModelProfile", {**_profile(facts, info), **names})


def _profile(facts: Mapping[str, Any], entry: Capabilities) -> ModelProfile:
    known = {key: facts[name] for name, keys in _KEYS.items() if facts.get(name) is not None for key in keys}
    if media := [facts[name] for name in ("vision", "audio", "video") if name in facts]:
        known["attachment"] = any(media)
    known |= dict.fromkeys(("tool_calling", "tool_choice", "tool_call_streaming"), entry.tools)
    known["structured_output"] = entry.json_schema
    if "reasoning" in facts:
        known["reasoning_output"] = bool(facts["reasoning"])
    if facts.get("reasoning_switch") == "effort":
        known["reasoning_effort_levels"] = [*_EFFORTS]
    if status := "deprecated" if entry.removed_on else "active" if entry.served_on else None:
        known["status"] = status
    return cast("ModelProfile", {**_OF_THE_API, **known})
