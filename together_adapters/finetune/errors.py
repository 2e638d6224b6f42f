"""The errors of training data, below `DatasetError`; catching `ValueError` catches them all."""

from __future__ import annotations

from typing import Any

from together_adapters.errors import DatasetError


class RemoteValidationError(DatasetError):
    """The service found a fault in an uploaded file.

    Attributes:
        remote: What the service says: its `validation_report`.
        local_report: What the check on this machine had said, where there was one.
    """

    remote: Any = None
    local_report: Any = None
