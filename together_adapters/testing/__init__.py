"""Recorded tests: exchanges with the service are kept in a YAML file once, and answer from it ever after, without network and key.

```python
from together_adapters.testing import record, replay

with record("recordings/agent.yaml", overwrite=True):  # once, with a key
    my_agent.run("What is the weather in Rome?")
with replay("recordings/agent.yaml"):  # ever after
    my_agent.run("What is the weather in Rome?")
```

With pytest: `@pytest.mark.together_record` and `pytest --together-record`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from together_adapters._lazy import attach, require

__all__ = ["RecordSession", "RecordingMissError", "ReplaySession", "record", "replay"]

if TYPE_CHECKING:
    from together_adapters.testing.matching import RecordingMissError
    from together_adapters.testing.sessions import RecordSession, ReplaySession, record, replay
else:
    __getattr__, __dir__ = attach(
        __name__,
        {
            "RecordSession": ".sessions",
            "RecordingMissError": ".matching",
            "ReplaySession": ".sessions",
            "record": ".sessions",
            "replay": ".sessions",
        },
        before_import=partial(require, "recording", "testing", "yaml"),
    )
