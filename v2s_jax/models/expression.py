"""A small encoder of facial expression over time: what a face says beside what its lips do, for pitch and energy."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from v2s_jax.constants import EXPRESSION_SIZE
from v2s_jax.models import ops
from v2s_jax.models.constants import EXPRESSION_BLOCKS, EXPRESSION_TAPS
from v2s_jax.models.resnet import Conv
from v2s_jax.models.spectral import Block


class ExpressionEncoder(nnx.Module):
    """Grey faces to one vector a frame: convolutions over each picture, then over time.

    Norms are over a frame's own picture (Wu and He 2018, one group), which lighting hardly moves: neither the batch nor
    the other frames, padded ones included, are of any effect but through the convolutions over time.

    Args:
        channels: of the convolutions over the picture, each of which halves rows and columns; four end at 3 x 3.
        width: of the vectors.
        dtype: of the computation; parameters and norms are float32.
        rngs: for the initial weights.
    """

    def __init__(self, channels: tuple[int, ...], width: int, dtype: DTypeLike, rngs: nnx.Rngs):
        self.dtype = dtype
        sizes = zip((1, *channels[:-1]), channels, strict=True)
        self.convs = nnx.List([Conv((3, 3, *size), rngs) for size in sizes])
        self.norms = nnx.List([_picture_norm(width, rngs) for width in channels])
        self.project = nnx.Linear(channels[-1], width, dtype=dtype, rngs=rngs)
        self.blocks = nnx.List(
            [Block(width, 2 * width, EXPRESSION_TAPS, dtype, rngs) for _ in range(EXPRESSION_BLOCKS)]
        )

    def __call__(self, faces: Float[Array, "B T 48 48"], mask: Bool[Array, "B T"]) -> Float[Array, "B T D"]:
        """Encodes every frame.

        Args:
            faces: normalised pictures; those where `mask` is False change nothing.
            mask: True where there is a frame.

        Returns:
            One vector a frame; what stands at padded frames is meaningless.
        """
        valid = mask[..., None]
        x = jnp.where(valid[..., None], faces, 0).astype(self.dtype).reshape(-1, EXPRESSION_SIZE, EXPRESSION_SIZE, 1)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = ops.conv3x3(x, conv.kernel[...].astype(self.dtype), 2)
            x = jax.nn.relu(norm(x)).astype(self.dtype)
        x = self.project(x.mean((1, 2))).reshape(*mask.shape, -1)
        for block in self.blocks:
            x = block(x, valid)
        return x


def _picture_norm(width: int, rngs: nnx.Rngs) -> nnx.GroupNorm:
    return nnx.GroupNorm(width, 1, epsilon=1e-5, use_fast_variance=False, dtype=jnp.float32, rngs=rngs)
