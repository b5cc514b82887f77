"""AdamW with a schedule, clipping, weight decay off norms and biases, and per-parameter multiples of the rate."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from v2s_jax.errors import V2SError
from v2s_jax.training.paths import Tree, flatten, map_paths
from v2s_jax.training.rules import Action


def make_schedule(config: ConfigDict, steps: int) -> optax.Schedule:
    """Learning rate by step: linear warm-up from 0, then `config.schedule` down to `final_fraction` of the peak.

    Args:
        config: `optimizer` section: learning_rate, schedule, warmup_steps, final_fraction.
        steps: length of the whole run, warm-up included.

    Raises:
        V2SError: unknown schedule, no steps, or a warm-up longer than the run.
    """
    if steps < 1:
        raise V2SError(f"train.steps is {steps}, but a run has at least one step.")
    peak, warmup, final = config.learning_rate, config.warmup_steps, config.final_fraction
    if warmup >= steps:
        raise V2SError(f"optimizer.warmup_steps is {warmup}, but the run has only {steps} steps: shorten the warm-up.")
    rest = steps - warmup
    after = {
        "cosine": optax.cosine_decay_schedule(peak, rest, alpha=final),
        "linear": optax.linear_schedule(peak, final * peak, rest),
        "constant": optax.constant_schedule(peak),
        "exponential": optax.exponential_decay(peak, rest, max(final, 1e-12)),
    }
    if config.schedule not in after:
        raise V2SError(f"optimizer.schedule is {config.schedule!r}; known are {', '.join(after)}.")
    return optax.join_schedules([optax.linear_schedule(0.0, peak, warmup), after[config.schedule]], [warmup])


def make_optimizer(config: ConfigDict, schedule: optax.Schedule, actions: dict[str, Action]) -> Any:
    """An optax transformation for one player's parameters (and only those: nothing is allocated for others).

    Args:
        config: `optimizer` section: name, b1, b2, eps, weight_decay, no_decay (regex), clip_norm (0: off).
        schedule: learning rate by update.
        actions: by parameter path; their multipliers scale the rate.

    Raises:
        V2SError: unknown optimiser.
    """
    if config.name not in ("adamw", "adam"):
        raise V2SError(f"optimizer.name is {config.name!r}; known are adamw, adam.")
    parts = [optax.clip_by_global_norm(config.clip_norm)] if config.clip_norm else []
    parts.append(optax.scale_by_adam(config.b1, config.b2, config.eps, mu_dtype=jnp.float32))
    if config.name == "adamw" and config.weight_decay:
        no_decay = re.compile(config.no_decay)
        parts.append(
            optax.add_decayed_weights(
                config.weight_decay, lambda params: map_paths(lambda path, _: not no_decay.fullmatch(path), params)
            )
        )
    parts.append(optax.scale_by_learning_rate(schedule))
    if any(action.multiplier != 1 for action in actions.values()):
        parts.append(optax.stateless(lambda updates, _: _multiply(updates, actions)))
    return optax.chain(*parts)


def _multiply(updates: Tree, actions: dict[str, Action]) -> Tree:
    return map_paths(lambda path, update: update * actions[path].multiplier, updates)


def tree_norm(tree: Tree) -> jax.Array:
    """L2 norm over all leaves, summed in float32."""
    return optax.tree.norm(jax.tree.map(lambda x: x.astype(jnp.float32), tree))


def count(tree: Tree) -> int:
    """Number of scalars in a tree of arrays or their shapes."""
    return sum(leaf.size for leaf in flatten(tree).values())
