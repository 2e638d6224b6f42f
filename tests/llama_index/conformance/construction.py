"""Checks L01-L09: construction, metadata, secrets, copies."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from llama_index.core.base.llms.base import BaseLLM
from llama_index.core.llms.function_calling import FunctionCallingLLM

from .provider import ELSEWHERE, FOREIGN_KEY, KEY, Factory, Provider, user
from .wire import WireServer


class ConstructionChecks:
    """An LLM works as constructed, keeps its secrets, and survives copying."""

    def test_l01_chat_model_by_default(self, llm: Any) -> None:
        """It is a chat model, a BaseLLM and a FunctionCallingLLM."""
        names = {base.__name__ for base in type(llm).__mro__}
        assert llm.metadata.is_chat_model
        assert {BaseLLM.__name__, FunctionCallingLLM.__name__} <= names

    def test_l02_function_calling_by_default(self, llm: Any) -> None:
        """It is a function-calling model by default."""
        assert llm.metadata.is_function_calling_model

    def test_l03_context_window_of_the_model(self, llm: Any, provider: Provider) -> None:
        """The context window is the model's, not LlamaIndex's default of 3900."""
        assert llm.metadata.context_window == provider.context_window

    def test_l04_no_key_in_any_form(self, llm: Any) -> None:
        """No dump, repr or payload shows the key."""
        outputs = [repr(llm), str(llm), repr(llm.to_dict()), llm.to_json(), repr(llm.model_dump())]
        if hasattr(llm, "to_payload"):
            outputs.append(repr(llm.to_payload()))
        assert not [form for form in outputs if KEY in form]

    def test_l05_never_another_vendors_key(self, provider: Provider, wire: WireServer, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without a key it raises an error that names the variable, and sends no request."""
        if provider.key_variable == "OPENAI_API_KEY":
            pytest.skip("it is the key of this provider")
        monkeypatch.setenv("OPENAI_API_KEY", FOREIGN_KEY)
        monkeypatch.delenv(provider.key_variable, raising=False)
        with pytest.raises(Exception, match=provider.key_variable):
            provider.llm(api_base=ELSEWHERE, model=provider.model).chat(user())
        assert not wire.requests

    def test_l06_key_from_the_environment(self, provider: Provider, wire: WireServer, monkeypatch: pytest.MonkeyPatch) -> None:
        """The key in the environment is used."""
        monkeypatch.setenv(provider.key_variable, KEY)
        provider.llm(api_base=wire.url, model=provider.model).chat(user())
        assert wire.requests[0].headers["authorization"] == f"Bearer {KEY}"

    def test_l07_pickle_after_use(self, llm: Any, wire: WireServer) -> None:
        """A used LLM survives a pickle round trip and still works."""
        llm.chat(user())
        assert pickle.loads(pickle.dumps(llm)).chat(user()).message.content
        assert len(wire.requests) == 2

    def test_l08_from_dict(self, llm: Any) -> None:
        """`from_dict(to_dict(), api_key=...)` returns a working LLM."""
        again = type(llm).from_dict(llm.to_dict(), api_key=KEY)
        assert again.chat(user()).message.content

    def test_l09_deepcopy_after_use(self, llm_factory: Factory) -> None:
        """A used LLM can be deep-copied, and the copy works."""
        used = llm_factory()
        used.chat(user())
        assert copy.deepcopy(used).chat(user()).message.content
