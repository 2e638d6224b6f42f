"""What LangChain may know of a model, from the library's table of capabilities."""

from __future__ import annotations

from langchain_core.language_models import ModelProfile

from together_adapters.types.capabilities import capabilities


def profile_of(model: str) -> ModelProfile:
    """Return a chat model's profile; an unknown model chats and calls tools."""
    known = capabilities(model)
    return ModelProfile(
        max_input_tokens=known.context_length,
        text_inputs=True,
        image_inputs=known.vision,
        image_url_inputs=known.vision,
        pdf_inputs=False,
        image_tool_message=False,
        pdf_tool_message=False,
        text_outputs=True,
        image_outputs=False,
        audio_outputs=False,
        video_outputs=False,
        reasoning_output=known.reasoning is not None,
        tool_calling=known.tools,
        tool_choice=known.tools,
        tool_call_streaming=known.tools,
        structured_output=known.json_schema,
        temperature=True,
    )
