"""The map of `include_raw`: batches reach the batch methods of the model, where langchain-core's own map invokes it for each input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.runnables import RunnableConfig, RunnableParallel
from langchain_core.runnables.config import patch_config


class RawMap(RunnableParallel[Any]):
    """A `RunnableParallel` that passes batches on. It is written, and loaded again, as its parent."""

    @classmethod
    def lc_id(cls) -> list[str]:
        """The name of its parent."""
        return RunnableParallel.lc_id()

    def batch(self, inputs: Any, config: Any = None, *, return_exceptions: bool = False, **kwargs: Any) -> list[dict[str, Any]]:
        """Return the results of several inputs."""
        return self._batch_with_config(self._batch, inputs, config, return_exceptions=return_exceptions, **kwargs)

    async def abatch(
        self, inputs: Any, config: Any = None, *, return_exceptions: bool = False, **kwargs: Any
    ) -> list[dict[str, Any]]:
        """Return the results of several inputs."""
        return await self._abatch_with_config(self._abatch, inputs, config, return_exceptions=return_exceptions, **kwargs)

    def _batch(self, inputs: list[Any], run_manager: list[Any], config: list[RunnableConfig], **_: Any) -> list[Any]:
        outputs = {
            key: step.batch(inputs, _of_step(config, run_manager, key), return_exceptions=True)
            for key, step in self.steps__.items()
        }
        return _by_input(outputs, len(inputs))

    async def _abatch(self, inputs: list[Any], run_manager: list[Any], config: list[RunnableConfig], **_: Any) -> list[Any]:
        outputs = {
            key: await step.abatch(inputs, _of_step(config, run_manager, key), return_exceptions=True)
            for key, step in self.steps__.items()
        }
        return _by_input(outputs, len(inputs))


def _of_step(configs: list[RunnableConfig], run_managers: list[Any], key: str) -> list[RunnableConfig]:
    pairs = zip(configs, run_managers, strict=True)
    return [patch_config(config, callbacks=manager.get_child(f"map:key:{key}")) for config, manager in pairs]


def _by_input(outputs: Mapping[str, list[Any]], count: int) -> list[Any]:
    """Return a dict for each input, or the first exception of its steps."""
    rows = [{key: values[index] for key, values in outputs.items()} for index in range(count)]
    return [next((value for value in row.values() if isinstance(value, Exception)), row) for row in rows]
