"""Exponential moving average of the trained parameters, in float32.

Frozen parameters need none and batch-norm statistics are averages already: both are taken as they are.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Int

from v2s_jax.training.paths import Tree, merge


def start_ema(trained: Tree) -> Tree:
    """The average before the first step: a float32 copy."""
    return jax.tree.map(lambda x: jnp.array(x, jnp.float32, copy=True), trained)


def update_ema(ema: Tree, trained: Tree, step: Int[jax.Array, ""], decay: float) -> Tree:
    """One update with warm-up: the decay is min(decay, (1 + step) / (10 + step)), as in TensorFlow's EMA.

    Args:
        ema: averages so far, float32.
        trained: the parameters after this step.
        step: updates made before this one.
        decay: the final decay, such as 0.999.
    """
    step = step.astype(jnp.float32)
    d = jnp.minimum(decay, (1 + step) / (10 + step))
    return jax.tree.map(lambda e, p: e + (1 - d) * (p.astype(jnp.float32) - e), ema, trained)


def evaluation_params(state: dict) -> Tree:
    """What to evaluate and export: the averages where they are kept, the parameters elsewhere."""
    averaged = jax.tree.map(lambda e, p: e.astype(p.dtype), state["ema"], _like(state["params"], state["ema"]))
    return merge(state["params"], averaged)


def _like(tree: Tree, part: Tree) -> Tree:
    """The leaves of `tree` at the paths of `part`."""
    return {k: _like(tree[k], v) if isinstance(v, dict) else tree[k] for k, v in part.items()}
