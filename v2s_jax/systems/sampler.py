"""The `sampler` section of a generative system's config: solver, grid, and what every call may change.

What may change is traced: one compiled program serves any number of evaluations and any strength of guidance.
"""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float
from ml_collections import ConfigDict

from v2s_jax.constants import MEL_PER_FRAME, N_MELS
from v2s_jax.data.batch import Batch
from v2s_jax.generative import grids
from v2s_jax.generative.guidance import Energy, classifier_free, estimate_guidance, score_guidance
from v2s_jax.generative.noise import frame_noise, row_keys
from v2s_jax.generative.paths import GaussianPath
from v2s_jax.generative.sampling import Correct, Denoiser, Guidance, plan, sample
from v2s_jax.generative.solvers import build
from v2s_jax.generative.solvers.base import Solver

KNOBS = ("evaluations", "guidance", "classifier_free")
Knobs = Mapping[str, float | Float[Array, ""]]


def default_config() -> ConfigDict:
    """Twenty evaluations of the second-order solver, without guidance."""
    return ConfigDict(
        dict(
            solver="dpm_solver++",  # of generative/solvers
            eta=0.0,  # of DDIM: the share of fresh noise
            grid="log_snr",  # of generative/grids.py
            most=1000,  # evaluations that may be asked for
            evaluations=20,  # of the decoder
            guidance=0.0,  # scale of the gradient of the energy
            guidance_by="estimate",  # by the estimated data; "score": through the decoder; or "none" at all
            guided=(0.0, 0.7),  # least and most time at which there is guidance
            classifier_free=1.0,  # scale: 1 is none
        )
    )


def knobs_of(config: ConfigDict) -> dict[str, float]:
    """What a call may change, as the section has it: the scale of guidance only if there is any."""
    return {name: float(config[name]) for name in KNOBS if name != "guidance" or config.guidance_by != "none"}


def limits(config: ConfigDict) -> dict[str, tuple[float, float]]:
    """Least and greatest value of every knob."""
    return {"evaluations": (1.0, float(config.most)), "guidance": (0.0, 1e4), "classifier_free": (-1e2, 1e2)}


def check(config: ConfigDict, path: GaussianPath) -> None:
    """Makes sure that the section can be used.

    Raises:
        ValueError: it names something that there is not, or has a number out of range.
    """
    _solver(config)
    ranges = {
        "eta": (0 <= config.eta <= 1, "a share from 0 to 1"),
        "most": (config.most >= 1, "1 or more"),
        "evaluations": (1 <= config.evaluations <= config.most, f"1 to sampler.most, {config.most}"),
        "guided": (
            len(config.guided) == 2 and 0 <= config.guided[0] <= config.guided[1] <= 1,
            "two times, the lesser first, from 0 to 1",
        ),
    }
    for name, (fits, expected) in ranges.items():
        if not fits:
            raise ValueError(f"system.sampler.{name} is {config[name]!r}: expected {expected}")
    for name, known in (("grid", grids.GRIDS), ("guidance_by", {"none", *_guides(path)})):
        if config[name] not in known:
            raise ValueError(f"system.sampler.{name} is {config[name]!r}: expected one of {', '.join(sorted(known))}")


def _solver(config: ConfigDict) -> Solver:
    return build(config.solver, **({"eta": config.eta} if config.solver == "ddim" else {}))


def _guides(path: GaussianPath) -> dict[str, Callable[[Energy], Correct]]:
    return {"score": lambda energy: score_guidance(energy, path), "estimate": estimate_guidance}


def clip_noise(batch: Batch, rngs: nnx.Rngs) -> Callable[[jax.Array | int], jax.Array]:
    """The source of a stacked mel's noise [B, T, 320], the same for every row: a clip sounds alike in any batch.

    Windows of a clip share it where they overlap.
    """
    rows, frames = batch.need("mouth").shape[:2]
    keys = row_keys(rngs.noise(), jnp.zeros(rows, jnp.int32))
    start = None if batch.start is None else batch.need("start")
    return frame_noise(keys, (frames, MEL_PER_FRAME * N_MELS), start)


def conditional(
    decoder: Callable[..., jax.Array],
    condition: Float[Array, "B T K"],
    mask: Bool[Array, "B T"],
    scale: Float[Array, ""],
) -> Denoiser:
    """A decoder with classifier-free guidance, which makes it twice as dear unless the scale is 1.

    Args:
        decoder: of (x_t, t, condition, mask), trained with conditions left out, which is to say 0.
        condition: of each frame.
        mask: True where there is a frame.
        scale: traced.
    """
    both = (jnp.stack([jnp.zeros_like(condition), condition]), jnp.stack([mask, mask]))
    guided = classifier_free(lambda x_t, t, given: decoder(x_t, t, *given), both, scale[None])

    def plain(x_t: jax.Array, t: jax.Array) -> jax.Array:
        return decoder(x_t, t, condition, mask)

    return lambda x_t, t: jax.lax.cond(scale == 1, plain, guided, x_t, t)


def run(
    config: ConfigDict,
    path: GaussianPath,
    kind: str,
    denoiser: Denoiser,
    noise: Callable[[jax.Array | int], jax.Array],
    energy: Energy | None = None,
    knobs: Knobs | None = None,
) -> Float[Array, "B *D"]:
    """Samples data.

    Args:
        config: the section.
        path: the diffusion or flow.
        kind: what the network predicts.
        denoiser: the network, conditions and classifier-free guidance and all.
        noise: of a draw's number, as `generative.noise.frame_noise` makes it.
        energy: what guidance lowers, of the estimate of the data; None where there is nothing to be guided by.
        knobs: some of `KNOBS`, traced or not, in place of the section's.
    """
    chosen = knobs_of(config) | dict(knobs or {})
    solver = _solver(config)
    evaluations = jnp.asarray(chosen["evaluations"], jnp.int32)
    times, steps = plan(path, solver, evaluations, config.most, grids.GRIDS[config.grid])
    guidance = None
    if energy is not None and config.guidance_by != "none":
        least, most = config.guided
        within = (times[:-1] >= least) & (times[:-1] <= most)
        correct = _guides(path)[config.guidance_by](energy)
        guidance = Guidance(correct, jnp.asarray(chosen["guidance"]), within)
    return sample(denoiser, noise(0), times, steps, path=path, kind=kind, solver=solver, noise=noise, guidance=guidance)
