"""Numbers' widths: parameters, optimiser, averages and losses in float32; compute in float32 or bfloat16.

A system gets its compute type as the `dtype` of `v2s_jax.systems.build` and keeps norms, softmax and losses in
float32 itself; the step casts the loss once more so that nothing after it depends on the choice.
"""

from typing import Any

import jax.numpy as jnp
from ml_collections import ConfigDict

from v2s_jax.errors import V2SError

COMPUTE = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


def compute_dtype(config: ConfigDict) -> Any:
    """The compute type of a `precision` section.

    Raises:
        V2SError: neither float32 nor bfloat16.
    """
    if config.compute not in COMPUTE:
        raise V2SError(f"precision.compute is {config.compute!r}; known are {', '.join(COMPUTE)}.")
    return COMPUTE[config.compute]
