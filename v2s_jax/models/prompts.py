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
from jaxtyping import Array, Float

from v2s_jax.errors import V2SError


class Encoded(NamedTuple):
    """What an encoder with prompts gives.

    Attributes:
        frames: its features, one vector a frame.
        prompt: the prompt's last output, float32.
    """

    frames: Float[Array, "B T D"]
    prompt: Float[Array, "B D"]


class Prompted(nnx.Module):
    """An encoder and its prompts.

    Args:
        encoder: has `frames(video=..., audio=..., padding_mask=...)`, which gives what its transformer `encoder` reads
            and where it is not padding (`models/avhubert.py`).
        width: of the encoder.
        rngs: for the prompts' first values.

    Attributes:
        prompts: the only parameters that prompt tuning trains, one vector for each of "video" and "audio".
    """

    def __init__(self, encoder: Any, width: int, rngs: nnx.Rngs):
        self.encoder = encoder
        init = nnx.initializers.normal(0.02)
        self.prompts = nnx.Dict(
            {name: nnx.Param(init(rngs.params(), (width,), jnp.float32)) for name in ("video", "audio")}
        )

    def __call__(self, **clip: Any) -> Encoded:
        """Encodes clips of one modality.

        Args:
            clip: `video` or `audio`, and `padding_mask` if there is padding, as the encoder takes them.

        Raises:
            V2SError: there are both modalities, or none.
        """
        given = [name for name in ("video", "audio") if clip.get(name) is not None]
        if len(given) != 1:
            raise V2SError(
                f"an encoder with prompts takes video or audio, but was given {' and '.join(given) or 'none'}"
            )
        x, mask = self.encoder.frames(**clip)
        transformer = self.encoder.encoder
        x = transformer.embed(x, mask)
        prompt = jnp.broadcast_to(self.prompts[given[0]][...].astype(x.dtype), (len(x), 1, x.shape[-1]))
        seen_by_prompt = jnp.concatenate([mask, jnp.ones((len(x), 1), bool)], axis=1)

        def step(streams: tuple[jax.Array, jax.Array], inputs: tuple) -> tuple[tuple[jax.Array, jax.Array], None]:
            (layer,), (x, prompt) = inputs, streams
            keys, values = layer.keys_values(x)
            own_keys, own_values = layer.keys_values(prompt)
            prompt = layer.attend(
                prompt,
                jnp.concatenate([keys, own_keys], axis=1),
                jnp.concatenate([values, own_values], axis=1),
                seen_by_prompt,
            )
            return (layer(x, mask), layer.feed_forward(prompt)), None

        (x, prompt), _ = transformer.walk(step, (x, prompt), transformer.depth)
        if transformer.norm_first:
            x, prompt = transformer.norm(x).astype(x.dtype), transformer.norm(prompt)
        return Encoded(x, prompt[:, 0].astype(jnp.float32))
