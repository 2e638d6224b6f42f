"""A local server that speaks Together's HTTP API, so that programs and tests run without a key and without a network.

It is not a language model: fixed rules make its responses from the words of the request. Its HTTP behaviour is that of the service:
schemas, headers, streams, errors and network failures.

```python
from together_adapters import Together
from together_adapters.emulator import serve

with serve() as emulator:
    client = Together(base_url=emulator.base_url, api_key="any")
```
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from together_adapters._lazy import attach, require

__all__ = ["Behaviour", "Bill", "BillRow", "BillTotal", "Emulator", "Engine", "Fault", "Limits", "RecordedRequest", "serve"]

if TYPE_CHECKING:
    from together_adapters.emulator.http.behaviour import Behaviour
    from together_adapters.emulator.http.faults import Fault
    from together_adapters.emulator.http.rate_limits import Limits
    from together_adapters.emulator.http.request_log import RecordedRequest
    from together_adapters.emulator.remote.engines import Engine
    from together_adapters.emulator.server import Emulator, serve
    from together_adapters.emulator.store.bill import Bill, BillRow, BillTotal
else:
    __getattr__, __dir__ = attach(
        __name__,
        {
            "Behaviour": ".http.behaviour",
            "Bill": ".store.bill",
            "BillRow": ".store.bill",
            "BillTotal": ".store.bill",
            "Emulator": ".server",
            "Engine": ".remote.engines",
            "Fault": ".http.faults",
            "Limits": ".http.rate_limits",
            "RecordedRequest": ".http.request_log",
            "serve": ".server",
        },
        before_import=partial(require, "the emulator", "emulator", "starlette", "uvicorn", "jsonschema", "regex"),
    )
