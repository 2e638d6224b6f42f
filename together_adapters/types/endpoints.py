"""Dedicated endpoints: models on hardware of one's own, and the hardware there is."""

from __future__ import annotations

from together_adapters.types.response import ResponseModel


class Zones(list[str]):
    """A plain list of zones, as the `together` 1.x SDK returns it, that also answers to `.avzones`."""

    @property
    def avzones(self) -> list[str]:
        """The list itself, under the name that later SDKs use."""
        return self


class Autoscaling(ResponseModel):
    """How many replicas run at least, and at most under load."""

    min_replicas: int | None = None
    max_replicas: int | None = None


class Endpoint(ResponseModel):
    """An endpoint.

    `state` is PENDING, STARTING, STARTED, STOPPING, STOPPED, ERROR, FAILED or a newer word. Entries of a list come without
    `display_name`, `hardware` and `autoscaling`. `name` is what goes into `model=` of a chat; `created_at` is ISO 8601.
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
    """US cents for each minute that it runs."""

    cents_per_minute: float | None = None


class HardwareSpecs(ResponseModel):
    """What it is made of; memory in GB for each GPU."""

    gpu_type: str | None = None
    gpu_link: str | None = None
    gpu_memory: float | None = None
    gpu_count: int | None = None


class HardwareAvailability(ResponseModel):
    """`status` is available, unavailable, insufficient or a newer word."""

    status: str | None = None


class Hardware(ResponseModel):
    """One kind of hardware; `availability` is there when a model was asked for. `updated_at` is ISO 8601."""

    id: str | None = None
    object: str | None = None
    pricing: HardwarePricing | None = None
    specs: HardwareSpecs | None = None
    availability: HardwareAvailability | None = None
    updated_at: str | None = None
