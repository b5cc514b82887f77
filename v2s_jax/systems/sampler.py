"""The `sampler` section of a generative system's config: solver, grid, and what every call may change.

What may change is traced: one compiled program serves any number of evaluations and any strength of guidance.
"""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from v2s_jax.generative import grids
from v2s_jax.generative.guidance import Energy, estimate_guidance, score_guidance
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
    """What a call may change, as the section has it."""
    return {name: float(config[name]) for name in KNOBS}


def check(config: ConfigDict, path: GaussianPath) -> None:
    """Makes sure that the section can be used.

    Raises:
        ValueError: it names something that there is not.
    """
    _solver(config)
    for name, known in (("grid", grids.GRIDS), ("guidance_by", {"none", *_guides(path)})):
        if config[name] not in known:
            raise ValueError(f"system.sampler.{name} is {config[name]!r}: expected one of {', '.join(sorted(known))}")


def _solver(config: ConfigDict) -> Solver:
    return build(config.solver, **({"eta": config.eta} if config.solver == "ddim" else {}))


def _guides(path: GaussianPath) -> dict[str, Callable[[Energy], Correct]]:
    return {"score": lambda energy: score_guidance(energy, path), "estimate": estimate_guidance}


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
