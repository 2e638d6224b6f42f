"""All kinds of faults."""

from __future__ import annotations

from typing import Final

from tests.soak import answer_faults, http_faults, stream_faults

KINDS: Final = [*http_faults.KINDS, *answer_faults.KINDS, *stream_faults.KINDS]
