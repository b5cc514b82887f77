"""One pure training step and its counterparts for evaluation, and their compilation.

The module is merged inside the loss and taken apart again, so the statistics come out as values. Frozen parameters are
closed over and never differentiated. When a loss or gradient is not finite, the update is dropped on the device: the
state stays the last good one whatever the host decides.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from v2s_jax.data.batch import Batch
from v2s_jax.models.compiling import compiler_options
from v2s_jax.models.rngs import Rngs
from v2s_jax.models.rows import in_rows
from v2s_jax.training.accumulate import value_and_gradients
from v2s_jax.training.ema import update_ema
from v2s_jax.training.optimizer import tree_norm
from v2s_jax.training.paths import Tree, merge, select
from v2s_jax.training.rules import MAIN
from v2s_jax.training.state import Player, State, eval_frozen, split_system

Metrics = dict[str, jax.Array]


def player_loss(system: Any, player: str, batch: Batch, rngs: nnx.Rngs) -> tuple[jax.Array, Metrics]:
    """The loss in float32; a system with several players is told whose turn it is."""
    loss, metrics = system.loss(batch, rngs) if player == MAIN else system.loss(batch, rngs, player=player)
    return loss.astype(jnp.float32), metrics


def make_train_step(
    system: nnx.Module, players: list[Player], ema_decay: float, accumulate: int = 1
) -> Callable[[State, Batch], tuple[State, Metrics]]:
    """The pure step `(state, batch) -> (state, metrics)`, not compiled.

    Metrics are the system's own and `loss`, `grad_norm`, `param_norm`, `lr` (all with `/player` behind it when there
    are several) and `finite`, which is False when the update was dropped.

    Args:
        system: concrete or abstract, in training mode; only its structure is used.
        players: take their turns in this order, each seeing what those before it changed.
        ema_decay: 0 keeps no averages.
        accumulate: parts that every player takes the batch in, to save memory; `accumulate.py` says what that changes.
    """
    group = getattr(system, "utterances", 1)
    graphdef, _, _ = split_system(eval_frozen(system, players))

    def turn(player: Player, state: State, batch: Batch, key: jax.Array) -> tuple[State, Metrics]:
        own = player.own(state["params"])

        def loss_fn(own: Tree, stats: Tree, batch: Batch, key: jax.Array) -> tuple[jax.Array, tuple[Metrics, Tree]]:
            module = nnx.merge(graphdef, merge(state["params"], own), stats)
            loss, metrics = player_loss(module, player.name, batch, Rngs(key))
            return loss, (metrics, split_system(module)[2])

        loss, metrics, stats, gradients = value_and_gradients(
            loss_fn, own, state["stats"], batch, key, accumulate, group
        )
        updates, opt_state = player.optimizer.update(gradients, state["opt_state"][player.name], own)
        norm = tree_norm(gradients)
        finite = jnp.isfinite(loss) & jnp.isfinite(norm)
        changed = {
            "params": merge(state["params"], jax.tree.map(lambda p, u: (p + u).astype(p.dtype), own, updates)),
            "stats": merge(state["stats"], player.own(stats)),
            "opt_state": state["opt_state"] | {player.name: opt_state},
        }
        kept = {name: state[name] for name in changed}
        state = state | jax.tree.map(functools.partial(jnp.where, finite), changed, kept)
        scalars = {"loss": loss, "grad_norm": norm, "param_norm": tree_norm(own), "lr": player.schedule(state["step"])}
        return state, metrics | scalars | {"finite": finite}

    def step(state: State, batch: Batch) -> tuple[State, Metrics]:
        key = jax.random.fold_in(state["key"], state["step"])
        metrics: Metrics = {}
        finite = jnp.array(True)
        for player in players:
            state, own = turn(player, state, batch, key)
            finite &= own.pop("finite")
            metrics |= own if len(players) == 1 else {f"{name}/{player.name}": value for name, value in own.items()}
        if ema_decay:
            trained = select(state["params"], lambda path: any(path in player.actions for player in players))
            averaged = update_ema(state["ema"], trained, state["step"], ema_decay)
            state["ema"] = jax.tree.map(functools.partial(jnp.where, finite), averaged, state["ema"])
        return state | {"step": state["step"] + 1}, metrics | {"finite": finite}

    return step


def make_eval_steps(system: nnx.Module, players: list[Player]) -> tuple[Callable, Callable]:
    """`losses(params, stats, key, batch) -> metrics` and `synthesize(...) -> mel or waveform`, in evaluation mode."""
    evaluated = nnx.view(system, raise_if_not_found=False, deterministic=True, use_running_average=True)
    graphdef, _, _ = split_system(evaluated)

    def losses(params: Tree, stats: Tree, key: jax.Array, batch: Batch) -> Metrics:
        found: Metrics = {}
        for player in players:
            module = nnx.merge(graphdef, params, stats)
            loss, metrics = player_loss(module, player.name, batch, Rngs(key))
            own = metrics | {"loss": loss}
            found |= own if len(players) == 1 else {f"{name}/{player.name}": value for name, value in own.items()}
        return found

    def synthesize(params: Tree, stats: Tree, key: jax.Array, batch: Batch) -> jax.Array:
        return nnx.merge(graphdef, params, stats).synthesize(batch, Rngs(key))

    return losses, synthesize


def compile_eval_steps(steps: tuple[Callable, Callable], mesh: Mesh) -> tuple[Any, Any]:
    """`jax.jit` of `make_eval_steps`, results on every device so that any host can read them."""
    everywhere = NamedSharding(mesh, PartitionSpec())
    options = compiler_options(mesh.devices.flat[0].platform)
    losses, synthesize = (jax.jit(step, out_shardings=everywhere, compiler_options=options) for step in steps)
    return losses, synthesize


def compile_train_step(step: Callable, state: State, batch: NamedSharding) -> Any:
    """`jax.jit` of a step with the state donated: the old state's arrays are gone after a call.

    Args:
        step: from `make_train_step`.
        state: shardings of the state.
        batch: sharding of every batch field.
    """
    everywhere = NamedSharding(batch.mesh, PartitionSpec())
    return jax.jit(
        in_rows(step, batch),
        in_shardings=(state, batch),
        out_shardings=(state, everywhere),
        donate_argnums=(0,),
        compiler_options=compiler_options(batch.mesh.devices.flat[0].platform),
    )
