"""Dedicated endpoints: models on dedicated hardware, and the available hardware."""

from __future__ import annotations

from typing import TYPE_CHECKING

from together_adapters.types import old_type
from together_adapters.types.response import ResponseModel

if not TYPE_CHECKING:
    __getattr__ = old_type


class Zones(list[str]):
    """A plain list of zones, as the `together` 1.x SDK returns it, with the `.avzones` of later SDKs."""

    @property
    def avzones(self) -> list[str]:
        """The list itself."""
        return self


class Autoscaling(ResponseModel):
    """Minimum and maximum number of replicas."""

    min_replicas: int | None = None
    max_replicas: int | None = None


class Endpoint(ResponseModel):
    """An endpoint.

    `state` is PENDING, STARTING, STARTED, STOPPING, STOPPED, ERROR, FAILED or a newer value. Entries of a list have no
    `display_name`, `hardware` and `autoscaling`. Pass `name` to `model=` of a chat; `created_at` is ISO 8601.
    """

    id: str | None = None
    object: str | None = None
    name: str | None = None
    display_name: str | None = None
    model: str | None = None
    hardware: str | None = None
    type: str | None = None
    owner: str | None = None
    state: str | None = None
    autoscaling: Autoscaling | None = None
    inactive_timeout: int | None = None
    created_at: str | None = None


class HardwarePricing(ResponseModel):
    """US cents per minute."""

    cents_per_minute: float | None = None


class HardwareSpecs(ResponseModel):
    """GPUs and their links; memory in GB per GPU."""

    gpu_type: str | None = None
    gpu_link: str | None = None
    gpu_memory: float | None = None
    gpu_count: int | None = None


class HardwareAvailability(ResponseModel):
    """`status` is available, unavailable, insufficient or a newer value."""

    status: str | None = None


class Hardware(ResponseModel):
    """A type of hardware; `availability` is set if the request names a model. `updated_at` is ISO 8601."""

    id: str | None = None
    object: str | None = None
    pricing: HardwarePricing | None = None
    specs: HardwareSpecs | None = None
    availability: HardwareAvailability | None = None
    updated_at: str | None = None
