"""Training data from LlamaIndex: messages, chat stores and memories, agents' runs, evaluations, and live calls.

```python
from llama_index.core.llms import ChatMessage
from llama_index_together_adapters.finetuning import from_llama_index
from together_adapters.finetune import write_jsonl

conversations = [[ChatMessage("Which gate?"), ChatMessage("Gate 4.", role="assistant")]]
write_jsonl(from_llama_index(conversations), "train.jsonl", overwrite=True)
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from together_adapters._lazy import attach

__all__ = ["FinetuneRecorder", "from_llama_index"]

if TYPE_CHECKING:
    from llama_index_together_adapters.finetuning.recorder import FinetuneRecorder
    from llama_index_together_adapters.finetuning.source import from_llama_index
else:
    __getattr__, __dir__ = attach(__name__, {"FinetuneRecorder": ".recorder", "from_llama_index": ".source"})
