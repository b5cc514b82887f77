"""How much of the devices' arithmetic a run uses: MFU (Chowdhery et al. 2022, arXiv 2204.02311, appendix B)."""

from typing import Any

import jax

from v2s_jax.training.chips import chip_of
from v2s_jax.training.flops import count_flops


class Utilisation:
    """Counts the FLOPs of the steps that are made; nothing where jax's devices are not in the table of chips."""

    def __init__(self, step: Any):
        """Takes the compiled step; what it traces it traces anyway."""
        self._step, self._chip = step, chip_of(jax.devices()[0].device_kind)
        self._known: dict[Any, int] = {}
        self._flops, self._steps = 0, 0

    def saw(self, state: Any, batch: Any) -> None:
        """Adds a step that is about to be made; each shape of batches is counted once."""
        if self._chip is None:
            return
        shapes = tuple(leaf.shape for leaf in jax.tree.leaves(batch))
        if shapes not in self._known:
            self._known[shapes] = count_flops(self._step, state, batch)
        self._flops += self._known[shapes]
        self._steps += 1

    def report(self, steps_per_second: float | None) -> dict[str, float]:
        """TFLOPs of a step, on the mean of those since the last report, and the share of what the devices could do."""
        flops, steps, self._flops, self._steps = self._flops, self._steps, 0, 0
        if self._chip is None or not steps:
            return {}
        found = {"tflops_per_step": flops / steps / 1e12}
        if steps_per_second:
            found["mfu"] = flops / steps * steps_per_second / (self._chip.flops * jax.device_count())
        return found
