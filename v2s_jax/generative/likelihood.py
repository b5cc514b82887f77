"""The density of data under a diffusion or flow, by its probability-flow ODE (Song et al. 2021, appendix D)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from v2s_jax.generative.paths import GaussianPath
from v2s_jax.generative.sampling import Denoiser, velocity_field
from v2s_jax.generative.solvers.dormand_prince import integrate


def log_likelihood(
    denoiser: Denoiser,
    data: Float[Array, "B *D"],
    probes: Float[Array, "P B *D"],
    *,
    path: GaussianPath,
    kind: str,
    margin: float = 1e-4,
    tolerance: float = 1e-5,
) -> Float[Array, "B"]:
    """The log density of the data in nats: the change of variables along the ODE from data to standard normal noise.

    Args:
        denoiser: the network, of (x_t [B, *D], t [B]).
        data: rows, all of whose entries count.
        probes: P tests of the divergence, the mean of probe . (Jacobian probe): an unbiased estimate with random signs
            (Hutchinson), exact with P = D orthogonal rows of signs.
        path: the diffusion or flow.
        kind: what the network predicts, one of `path.kinds`.
        margin: how far from the data to begin, where the velocity of a diffusion has a bound.
        tolerance: of the ODE's solution, relative and absolute.
    """
    field = velocity_field(denoiser, path, kind)

    def flow(state: tuple[jax.Array, jax.Array], t: jax.Array) -> tuple[jax.Array, jax.Array]:
        x, _ = state

        def probed(probe: jax.Array) -> tuple[jax.Array, jax.Array]:
            moved, pushed = jax.jvp(lambda x: field(x, t), (x,), (probe,))
            return moved, jnp.sum((pushed * probe).reshape(len(x), -1), 1)

        moved, stretched = jax.vmap(probed, out_axes=(None, 0))(probes)
        return moved, stretched.mean(0)

    start = path.data_time + margin * (path.noise_time - path.data_time)
    state = (data, jnp.zeros(len(data)))
    (noise, gained), _ = integrate(flow, state, start, path.noise_time, rtol=tolerance, atol=tolerance)
    prior = jax.scipy.stats.norm.logpdf(noise).reshape(len(data), -1).sum(1)
    return prior + gained
