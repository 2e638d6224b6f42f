"""Many requests that survive interruptions: as batch jobs, or one by one, from a checkpoint that any later start continues."""

from __future__ import annotations

from typing import TYPE_CHECKING

from together_adapters._lazy import attach

__all__ = ["BatchAPI", "BulkItem", "BulkProgress", "BulkResults", "embed", "run"]

if TYPE_CHECKING:
    from together_adapters.bulk.batch_api import BatchAPI
    from together_adapters.bulk.results import BulkItem, BulkProgress, BulkResults
    from together_adapters.bulk.runs import run
    from together_adapters.bulk.vectors import embed
else:
    __getattr__, __dir__ = attach(
        __name__,
        {
            "BatchAPI": ".batch_api",
            "BulkItem": ".results",
            "BulkProgress": ".results",
            "BulkResults": ".results",
            "embed": ".vectors",
            "run": ".runs",
        },
    )
