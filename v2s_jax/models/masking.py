"""Masked prediction: which frames are hidden, what stands in their place, and the loss on naming their clusters.

The masks are those of wav2vec 2.0 (arXiv 2006.11477) and AV-HuBERT (Shi et al. 2022, arXiv 2201.02184) with static
shapes, so that they are drawn inside a jitted step. Three things differ from AV-HuBERT's code: rows are not thinned out
to the least masked row of the batch; only what lies inside a clip is drawn from, not its padding; and a batch of one
clip is treated as any other, not blanked.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Key


def span_mask(
    key: Key[Array, ""], mask: Bool[Array, "B T"], probability: float, length: int, least: int = 2
) -> Bool[Array, "B T"]:
    """Spans to hide, which may overlap: about `probability` * frames / `length` of them in each clip.

    Args:
        key: a typed key.
        mask: True where there is a frame.
        probability: the share of frames that would be hidden if spans did not overlap; the number of spans is rounded
            up or down by chance.
        length: of a span, in frames.
        least: so many spans at the least.
    """
    frames = mask.shape[1]
    round_key, start_key = jax.random.split(key)
    size = mask.sum(1)
    spans = jnp.floor(probability * size / length + jax.random.uniform(round_key, size.shape)).astype(int)
    spans = jnp.maximum(spans, least)
    room = jnp.where(size - length <= spans, spans + 1, size - length)
    place = jnp.arange(frames)[None]
    score = jnp.where(place < room[:, None], jax.random.uniform(start_key, mask.shape), 2)
    rank = jnp.argsort(jnp.argsort(score, axis=1), axis=1)
    starts = jnp.cumsum((rank < spans[:, None]) & (place < room[:, None]), axis=1)
    ended = jnp.pad(starts, ((0, 0), (length, 0)))[:, :frames]
    return (starts > ended) & mask


def other_span(key: Key[Array, ""], hidden: Bool[Array, "B T"], mask: Bool[Array, "B T"]) -> Int[Array, "B T"]:
    """The frame of the same clip to show instead of each hidden one; frames that are not hidden stay.

    Each run of hidden frames is replaced by a run as long that begins where it does not overlap it, anywhere else in
    the clip; one that would leave the clip repeats its last frame.

    Args:
        key: a typed key.
        hidden: True where a frame is hidden.
        mask: True where there is a frame.
    """
    place = jnp.broadcast_to(jnp.arange(hidden.shape[1]), hidden.shape)
    size = mask.sum(1, keepdims=True)
    first = hidden & ~jnp.pad(hidden, ((0, 0), (1, 0)))[:, :-1]
    last = hidden & ~jnp.pad(hidden, ((0, 0), (0, 1)))[:, 1:]
    start = lax.cummax(jnp.where(first, place, 0), axis=1)
    end = lax.cummin(jnp.where(last, place + 1, hidden.shape[1]), axis=1, reverse=True)
    before = jnp.maximum(2 * start - end, 0)  # how many places to begin at leave a frame between
    choices = before + jnp.maximum(size - end, 0)
    luck = jnp.take_along_axis(jax.random.uniform(key, hidden.shape), start, axis=1)  # one draw to a run
    pick = jnp.minimum((luck * choices).astype(int), jnp.maximum(choices - 1, 0))
    source = jnp.where(choices > 0, jnp.where(pick < before, pick, end + pick - before), 0)
    source = jnp.clip(source + place - start, 0, jnp.maximum(size - 1, 0))
    return jnp.where(hidden, source, place)


def cosine_logits(x: Float[Array, "B T F"], labels: Float[Array, "K F"], temperature: float) -> Float[Array, "B T K"]:
    """Cosine of every frame with every label, over the temperature, in float32 (HuBERT, arXiv 2106.07447, eq. 3)."""
    x, labels = x.astype(jnp.float32), labels.astype(jnp.float32)
    # Bounded under the root: the gradient of a norm is undefined at 0, where an untrained projection may put silence.
    x, labels = (v / jnp.sqrt(jnp.maximum(jnp.sum(v * v, -1, keepdims=True), 1e-16)) for v in (x, labels))
    return jnp.einsum("btf,kf->btk", x, labels) / temperature


def masked_prediction_loss(
    logits: Float[Array, "B T K"],
    targets: Int[Array, "B T"],
    hidden: Bool[Array, "B T"],
    mask: Bool[Array, "B T"],
    hidden_weight: float = 1.0,
    shown_weight: float = 0.0,
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """Cross entropy of cluster ids over the frames that count, and how often hidden and shown ones are named right.

    Args:
        logits: of the clusters.
        targets: cluster ids.
        hidden: True where a frame was hidden.
        mask: True where there is a frame.
        hidden_weight: of the loss on hidden frames.
        shown_weight: of the loss on the others; AV-HuBERT Large was trained with 1. Frames of weight 0 do not count.
    """
    entropy = -jnp.take_along_axis(jax.nn.log_softmax(logits.astype(jnp.float32)), targets[..., None], -1)[..., 0]
    right = jnp.argmax(logits, -1) == targets
    total, count, metrics = jnp.zeros(()), jnp.zeros(()), {}
    for name, weight, where in (("hidden", hidden_weight, hidden & mask), ("shown", shown_weight, ~hidden & mask)):
        frames = where.sum().astype(jnp.float32)
        metrics[f"{name}_accuracy"] = jnp.sum(where & right) / jnp.maximum(frames, 1)
        if weight:
            total, count = total + weight * jnp.sum(jnp.where(where, entropy, 0)), count + frames
    return total / jnp.maximum(count, 1), metrics
