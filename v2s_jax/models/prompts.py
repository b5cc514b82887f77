"""Prompt tuning of a frozen encoder: one learned vector a modality that listens and is not heard.

DiffV2S (Choi, Hong and Ro 2023, arXiv 2308.07787, section 3.1) puts a prompt beside the frames and masks the
self-attention so that it affects its own output alone, from which a speaker embedding is made. Here the prompt is a
stream of its own: in every layer it asks, with the layer's own weights, the frames and itself. The frames are computed
as if it were not there, so the encoder's features are the same to the bit.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from v2s_jax.errors import V2SError


class Encoded(NamedTuple):
    """What an encoder with prompts gives.

    Attributes:
        frames: its features, one vector a frame.
        prompt: the prompt's last output, float32.
    """

    frames: Float[Array, "B T D"]
    prompt: Float[Array, "B D"]


class Prompts(nnx.Module):
    """The only parameters that prompt tuning of an encoder trains.

    Args:
        width: of the encoder.
        rngs: for the first values.
    """

    def __init__(self, width: int, rngs: nnx.Rngs):
        init = nnx.initializers.normal(0.02)
        self.video, self.audio = (nnx.Param(init(rngs.params(), (width,), jnp.float32)) for _ in range(2))

    def __call__(self, encoder: Any, **clip: Any) -> Encoded:
        """What the encoder, wrapped, makes of clips of one modality.

        Args:
            encoder: has `frames(video=..., audio=..., padding_mask=...)`, which gives what its transformer `encoder`
                reads and where it is not padding (`models/avhubert.py`).
            clip: `video` or `audio`, and `padding_mask` if there is padding, as the encoder takes them.

        Raises:
            V2SError: there are both modalities, or none.
        """
        given = [name for name in ("video", "audio") if clip.get(name) is not None]
        if len(given) != 1:
            raise V2SError(
                f"an encoder with prompts takes video or audio, but was given {' and '.join(given) or 'none'}"
            )
        x, mask = encoder.frames(**clip)
        transformer = encoder.encoder
        x = transformer.embed(x, mask)
        prompt = {"video": self.video, "audio": self.audio}[given[0]][...].astype(x.dtype)
        prompt = jnp.broadcast_to(prompt[None, None], (x.shape[0], 1, x.shape[-1]))
        x, prompt = _walk(transformer, x, prompt, mask)
        if transformer.norm_first:
            x, prompt = transformer.norm(x).astype(x.dtype), transformer.norm(prompt)
        return Encoded(x, prompt[:, 0].astype(jnp.float32))


def _walk(
    transformer: Any, x: Float[Array, "B T D"], prompt: Float[Array, "B 1 D"], mask: Bool[Array, "B T"]
) -> tuple[Float[Array, "B T D"], Float[Array, "B 1 D"]]:
    """Both streams after all layers."""
    seen_by_prompt = jnp.concatenate([mask, jnp.ones((x.shape[0], 1), bool)], axis=1)

    def step(streams: tuple[jax.Array, jax.Array], inputs: tuple) -> tuple[tuple[jax.Array, jax.Array], None]:
        (layer,), (x, prompt) = inputs, streams
        read = (
            jnp.concatenate(pair, axis=1) for pair in zip(layer.keys_values(x), layer.keys_values(prompt), strict=True)
        )
        prompt = layer.attend(prompt, *read, seen_by_prompt)
        return (layer(x, mask), layer.feed_forward(prompt)), None

    streams, _ = transformer.walk(step, (x, prompt), transformer.depth)
    return streams
