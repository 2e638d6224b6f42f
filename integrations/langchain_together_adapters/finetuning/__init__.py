"""Training data from LangChain: messages, chat sessions, examples, runs, agents' results, and live calls.

```python
from langchain_core.messages import AIMessage, HumanMessage
from langchain_together_adapters.finetuning import from_langchain
from together_adapters.finetune import write_jsonl

conversations = [[HumanMessage("Which gate?"), AIMessage("Gate 4.")]]
write_jsonl(from_langchain(conversations), "train.jsonl", overwrite=True)
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from together_adapters._lazy import attach

__all__ = ["FinetuneRecorder", "from_langchain"]

if TYPE_CHECKING:
    from langchain_together_adapters.finetuning.recorder import FinetuneRecorder
    from langchain_together_adapters.finetuning.source import from_langchain
else:
    __getattr__, __dir__ = attach(__name__, {"FinetuneRecorder": ".recorder", "from_langchain": ".source"})
