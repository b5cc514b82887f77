"""Running statistics that a trace replaces as fast as it does anything else.

To assign a variable, flax asks the old and the new value for their `sharding`, which a tracer answers with an error
that lists where it comes from, by a walk over everything traced so far: a quarter of the time to trace a step.
"""

from typing import Any

from flax import nnx


class Running(nnx.BatchStat):
    """`nnx.BatchStat` that is only ever replaced as a whole."""

    def set_value(self, value: Any, *, index: Any = ...) -> None:
        """Takes the new value as it is."""
        assert index is ..., "a running statistic is replaced as a whole"
        self.set_raw_value(value)


def keep_running(norm: nnx.BatchNorm) -> nnx.BatchNorm:
    """The norm, with its mean and variance made such statistics."""
    norm.mean, norm.var = Running(norm.mean[...]), Running(norm.var[...])
    return norm
