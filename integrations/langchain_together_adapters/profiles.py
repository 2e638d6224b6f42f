"""LangChain's model profiles, from the library's table of capabilities."""

from __future__ import annotations

from langchain_core.language_models import ModelProfile

from together_adapters.types.capabilities import capabilities


def profile_of(model: str) -> ModelProfile:
    """Return the profile of a chat model; a model that is not in the table chats and calls tools."""
    entry = capabilities(model)
    return ModelProfile(
        max_input_tokens=entry.context_length,
        text_inputs=True,
        image_inputs=entry.vision,
        image_url_inputs=entry.vision,
        pdf_inputs=False,
        image_tool_message=False,
        pdf_tool_message=False,
        text_outputs=True,
        image_outputs=False,
        audio_outputs=False,
        video_outputs=False,
        reasoning_output=entry.reasoning is not None,
        tool_calling=entry.tools,
        tool_choice=entry.tools,
        tool_call_streaming=entry.tools,
        structured_output=entry.json_schema,
        temperature=True,
    )
