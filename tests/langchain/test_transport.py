"""`transport=` of the adapters, which is that of their clients."""

from __future__ import annotations

import asyncio
import pickle
from typing import Any

import pytest
from langchain_together_adapters import ChatTogether, Together, TogetherEmbeddings, TogetherRerank

from tests.conftest import KEY
from tests.langchain.test_lifecycle import ause, use
from together_adapters import ConfigurationError
from together_adapters.emulator import Emulator


@pytest.mark.parametrize("kind", [ChatTogether, Together, TogetherEmbeddings, TogetherRerank])
def test_transport(kind: Any, emulator: Emulator) -> None:
    pytest.importorskip("wreq")
    adapter = kind(api_key=KEY, base_url=emulator.base_url, transport="fast")
    for each in (adapter, pickle.loads(pickle.dumps(adapter)), adapter.model_copy(update={"max_retries": 1})):
        assert each._clients.config.transport == "fast"
        assert use(each)
        assert asyncio.run(ause(each))
    with pytest.raises(ConfigurationError, match="transport does not go with a client to share"):
        kind(client=adapter._clients.sync, transport="fast")
