"""Batch norm with statistics for each modality that a clip is given in, so that one network can take all of them.

Kefalas, Panagakis and Pantic 2023 (arXiv 2306.15464) keep separate running statistics for audio and for video in a
decoder's batch norms, with one scale and shift. Those of both modalities at once are ours.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from v2s_jax.models.running import Running

VIDEO, AUDIO, BOTH = range(3)  # states of a row: what it is given in
STATES = 3


class ModalityBatchNorm(nnx.BatchNorm):
    """Batch norm as PyTorch's (eps 1e-5, momentum 0.1) whose rows are normalised by those of their own state alone.

    The state of a row is an array, so one compiled program serves all. Running statistics of a state that no frame of a
    batch has stay as they are, to the bit.

    Args:
        width: channels.
        rngs: for the initial scale and shift.

    Attributes:
        scale: of all states.
        bias: of all states.
        mean: running, [3, D], a row for each state.
        var: likewise.
    """

    def __init__(self, width: int, rngs: nnx.Rngs):
        super().__init__(width, momentum=0.9, epsilon=1e-5, dtype=jnp.float32, rngs=rngs)
        self.mean = Running(jnp.zeros((STATES, width)))
        self.var = Running(jnp.ones((STATES, width)))

    def __call__(  # type: ignore[override]
        self, x: Float[Array, "B T D"], *, mask: Bool[Array, "B T 1"], state: Int[Array, "B"]
    ) -> Float[Array, "B T D"]:
        """Normalises in float32.

        Args:
            x: frames.
            mask: True where there is a frame; the others take no part in the statistics.
            state: of each row.
        """
        x = x.astype(jnp.float32)
        mean, var = self.mean[...], self.var[...]
        if not self.use_running_average:
            mean, var = self._measure(x, mask, state)
        assert self.scale is not None and self.bias is not None  # as this class makes them
        factor = self.scale[...][None] * lax.rsqrt(var + self.epsilon)
        return (x - mean[state][:, None]) * factor[state][:, None] + self.bias[...][None, None]

    def _measure(
        self, x: Float[Array, "B T D"], mask: Bool[Array, "B T 1"], state: Int[Array, "B"]
    ) -> tuple[Float[Array, "3 D"], Float[Array, "3 D"]]:
        """Mean and variance of each state in this batch; moves the running ones towards them."""
        own = jax.nn.one_hot(state, STATES).T[..., None]  # [3, B, 1]
        frames = (own * mask.sum(1)[None]).sum(1)

        def average(x: Float[Array, "B T D"]) -> Float[Array, "3 D"]:
            # Not a product: what is not finite in rows of another state would come through a factor of 0.
            return jnp.where(own > 0, jnp.where(mask, x, 0).sum(1)[None], 0).sum(1) / jnp.maximum(frames, 1)

        mean = average(x)
        var = average((x - mean[state][:, None]) ** 2)
        for running, found in ((self.mean, mean), (self.var, var)):
            moved = self.momentum * running[...] + (1 - self.momentum) * lax.stop_gradient(found)
            running[...] = jnp.where(frames > 0, moved, running[...])
        return mean, var
