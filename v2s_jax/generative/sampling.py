"""The sampling loop: from noise along a grid of times to data, with any network, solver and guidance, inside one jit.

The number of steps is traced: one compilation for a shape serves all up to the padded grid's size. What the user counts
is evaluations of the network; `plan` makes as many steps as these allow.

    times, steps = plan(path, solver, evaluations, most=64, grid=grids.log_snr)
    x_0 = sample(denoiser, noise(0), times, steps, path=path, kind="x_0", solver=solver, noise=noise)
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from v2s_jax.generative.grids import Grid, uniform
from v2s_jax.generative.paths import GaussianPath
from v2s_jax.generative.predictions import Estimate, to_estimate, velocity
from v2s_jax.generative.solvers.base import Evaluate, Solver

Count = int | Int[Array, ""]
Denoiser = Callable[[jax.Array, jax.Array], jax.Array]  # (x_t [B, *D] float32, t [B]) -> prediction [B, *D]
Denoise = Callable[[jax.Array], jax.Array]  # x_t -> estimate of the data, by one evaluation of the network
Correct = Callable[[Denoise, jax.Array, jax.Array, jax.Array], jax.Array]  # (denoise, x_t, t [], scale []) -> the data


@dataclasses.dataclass(frozen=True)
class Guidance:
    """What changes the estimate of the data at chosen steps.

    Attributes:
        correct: the changed estimate; it calls `denoise` itself, so that it may differentiate through the network.
        scale: traced; at 0 the network alone is evaluated, and the result is the unguided one to the bit.
        steps: at which of the padded grid's steps, e.g. times[:-1] < 0.7, or None for all; the others cost nothing.
    """

    correct: Correct
    scale: float | Float[Array, ""]
    steps: Bool[Array, "N"] | None = None

    def active(self, step: Int[Array, ""]) -> Bool[Array, ""]:
        """Whether this step is guided."""
        chosen = jnp.array(True) if self.steps is None else self.steps[step]
        return chosen & (jnp.asarray(self.scale) != 0)


def plan(
    path: GaussianPath, solver: Solver, evaluations: Count, most: int, grid: Grid = uniform
) -> tuple[Float[Array, "N"], Int[Array, ""]]:
    """The times and the number of steps that `evaluations` of the network allow, at least one step.

    A two-stage solver cannot use every number: it makes the greatest one not above (`evaluations_of`).

    Args:
        path: the diffusion or flow.
        solver: says what a step costs.
        evaluations: of the network, traced or not.
        most: evaluations that the padded grid is made for, static; more are cut to it.
        grid: of `grids.py`, its options bound by `functools.partial`.
    """
    spare = solver.evaluations - _last(path, solver)
    size = max(1, (most + spare) // solver.evaluations)
    steps = jnp.clip((jnp.asarray(evaluations) + spare) // solver.evaluations, 1, size)
    return grid(path, steps, size), steps


def evaluations_of(path: GaussianPath, solver: Solver, steps: Count) -> Count:
    """How often `sample` evaluates the network in so many steps of a grid."""
    return steps * solver.evaluations - (solver.evaluations - _last(path, solver))


def _last(path: GaussianPath, solver: Solver) -> int:
    return solver.last_evaluations if path.clean else solver.evaluations


def sample(
    denoiser: Denoiser,
    x: Float[Array, "B *D"],
    times: Float[Array, "N"],
    steps: Count,
    *,
    path: GaussianPath,
    kind: str,
    solver: Solver,
    noise: Callable[[jax.Array], jax.Array] | None = None,
    guidance: Guidance | None = None,
    clip: float | None = None,
) -> Float[Array, "B *D"]:
    """Data from noise, in float32 whatever the inputs are.

    Args:
        denoiser: the network, conditions and all; of x_t [B, *D] in float32 and t [B].
        x: standard normal noise, at times[0].
        times: from `plan`, or any that lead from noise to data; those beyond `steps` are not used.
        steps: how many of the grid's steps to go, traced or not.
        path: the diffusion or flow.
        kind: what the network predicts, one of `path.kinds`.
        solver: of `solvers`.
        noise: called with 1, 2, ... for a solver that draws any (`noise.frame_noise`, whose draw 0 is for x).
        guidance: changes the estimates of the data.
        clip: bound of the absolute value of the estimates, if the data have one.

    Raises:
        ValueError: the solver draws noise and there is none; the path has no such kind; there are fewer times than
            steps, or not as many choices of guidance as steps in the padded grid.
    """
    if solver.draws and noise is None:
        raise ValueError(f"{type(solver).__name__} draws noise: give `noise`")
    if isinstance(steps, int) and steps >= len(times):
        raise ValueError(f"{steps} steps need {steps + 1} times: there are {len(times)}")
    if guidance is not None and guidance.steps is not None and len(guidance.steps) != len(times) - 1:
        raise ValueError(f"guidance.steps has {len(guidance.steps)} entries: the grid has {len(times) - 1} steps")
    x = x.astype(jnp.float32)

    def step(i: jax.Array, state: tuple) -> tuple:
        x, memory = state
        evaluate = _evaluator(denoiser, path, kind, clip, guidance, i)

        def draw(number: int) -> jax.Array:
            assert noise is not None
            return noise(1 + i * solver.draws + number).astype(jnp.float32)

        return solver.step(path, evaluate, x, memory, times[i], times[i + 1], draw)

    return jax.lax.fori_loop(0, steps, step, (x, solver.init(x)))[0]


def velocity_field(denoiser: Denoiser, path: GaussianPath, kind: str) -> Denoiser:
    """dx/dt of the probability-flow ODE as a function of (x [B, *D], t []), for `dormand_prince.integrate`.

    Where sigma is 0 only the kind `velocity` has one.
    """

    def field(x: jax.Array, t: jax.Array) -> jax.Array:
        return velocity(path, _estimate(denoiser, path, kind, x, t), t)

    return field


def _evaluator(
    denoiser: Denoiser, path: GaussianPath, kind: str, clip: float | None, guidance: Guidance | None, step: jax.Array
) -> Evaluate:
    """What a solver calls at the points of one step."""

    def with_data(data: jax.Array, x: jax.Array, t: jax.Array) -> Estimate:
        return to_estimate(path, path.data_name, data.astype(jnp.float32), x, t)

    def evaluate(x: jax.Array, t: jax.Array) -> Estimate:
        def plain() -> Estimate:
            return _estimate(denoiser, path, kind, x, t)

        def guided() -> Estimate:
            assert guidance is not None
            scale = jnp.asarray(guidance.scale, jnp.float32)
            data = guidance.correct(lambda x: _estimate(denoiser, path, kind, x, t).data, x, t, scale)
            return with_data(data, x, t)

        # Else XLA would fuse an unguided network with the solver, and rounding would differ from a guided sampler's.
        x, t = jax.lax.optimization_barrier((x, t))
        estimate = plain() if guidance is None else jax.lax.cond(guidance.active(step), guided, plain)
        estimate = jax.lax.optimization_barrier(estimate)
        return estimate if clip is None else with_data(jnp.clip(estimate.data, -clip, clip), x, t)

    return evaluate


def _estimate(denoiser: Denoiser, path: GaussianPath, kind: str, x: jax.Array, t: jax.Array) -> Estimate:
    prediction = denoiser(x, jnp.broadcast_to(t, x.shape[:1])).astype(jnp.float32)
    return to_estimate(path, kind, prediction, x, t)
