"""What the trainer, the synthesizer, the exporter and the evaluator know of a system."""

from typing import Any, Literal, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, UInt8

from v2s_jax.constants import CROP_SIZE, LOG_FLOOR, MEL_PER_FRAME, MOUTH_MEAN, MOUTH_STD, N_MELS
from v2s_jax.data.batch import Batch
from v2s_jax.features.filters import unscale_mel

# Fields that clips without sound and text may have.
SILENT = frozenset({"mouth", "face", "expression", "speaker_embedding", "face_embedding"})
Metrics = dict[str, jax.Array]
Rules = list[tuple[str, str | float]]  # regex over whole paths and an action, as `training/rules.py` reads them


@runtime_checkable
class System(Protocol):
    """A published system: an `nnx.Module` with these attributes and methods.

    Attributes:
        fields: names of the `Batch` fields that it reads, besides `length`.
        inputs: if it is there, those of them that `synthesize` reads; else they are `SILENT`, as far as they are named.
        knobs: if it is there, what a call of `synthesize` may change of its sampling, by name, and the values of old.
        limits: if it is there, least and greatest value of some of them.
        kind: what `synthesize` returns; systems that make no speech are validated by their losses alone.
        utterances: if it is there and more than 1, so many neighbouring rows of a batch are of one speaker.
        clusters: if it is there, how many kinds of `units` it can tell apart.
        free: if it is there, for a part by its attribute the settings in which it may differ from the one that training
            begins with (see `training/initial.py`).
        optional: if it is there, fields that `synthesize` reads where they are given, besides its inputs.
        handed_on: if it is there, what `v2s-jax export` leaves out: of the `system` section the one that is exported,
            and the names of the parts that only training needs.
        units: if it is there, a method of a batch that gives the likeliest discrete units of its speech, [B, 2 T].
        anew: if it is there, a regex of the weights that begin anew where that part has none of their shape.
    """

    fields: frozenset[str]
    kind: Literal["mel", "waveform", "embedding"]

    def loss(self, batch: Batch, rngs: nnx.Rngs) -> tuple[jax.Array, Metrics]:
        """The scalar to minimise and what to log; `rngs` has every stream.

        A system whose rules name players takes a third argument, `player`, the name of the one whose turn it is.
        """
        ...

    def synthesize(self, batch: Batch, rngs: nnx.Rngs, sampler: Any = None) -> jax.Array:
        """Unscaled log-mel [B, 4T, 80] or waveform [B, 640T], silent beyond each clip's length, or embeddings."""
        ...

    def stages(self) -> dict[str, Rules]:
        """The rules of every training stage; one matches each parameter. Players take turns in the rules' order."""
        ...


def speaks(system: System) -> bool:
    """Whether it makes speech of a face, and is no vocoder or encoder."""
    return system.kind != "embedding" and "mouth" in system.fields


def frame_mask(length: jax.Array, frames: int) -> jax.Array:
    """Bool [B, frames], True at the first `length` frames of each row."""
    return jnp.arange(frames)[None] < length[:, None]


def check_crop(crop: int) -> int:
    """`system.crop` as it is.

    Raises:
        ValueError: no network can see such a square.
    """
    if not 0 < crop <= CROP_SIZE or crop % 4:
        raise ValueError(f"system.crop is {crop}: expected a multiple of 4 up to {CROP_SIZE}")
    return crop


def normalise_mouth(mouth: UInt8[Array, "B T H W"], crop: int) -> Float[Array, "B T h w"]:
    """The central `crop` pixels each way of grey crops 0-255, float32, as AV-HuBERT was trained."""
    edge = (mouth.shape[2] - crop) // 2
    seen = mouth[:, :, edge : edge + crop, edge : edge + crop]
    return (seen.astype(jnp.float32) / 255 - MOUTH_MEAN) / MOUTH_STD


def spoken_mel(scaled: Float[Array, "B M 80"], length: Int[Array, "B"]) -> Float[Array, "B M 80"]:
    """Unscaled log-mel, as vocoders take it: the floor beyond each clip's length, which is in video frames."""
    mask = frame_mask(MEL_PER_FRAME * length, scaled.shape[1])[..., None]
    return jnp.where(mask, unscale_mel(scaled), LOG_FLOOR)


def stack(mel: Float[Array, "B M 80"]) -> Float[Array, "B T 320"]:
    """The mel frames of each video frame side by side."""
    return mel.reshape(mel.shape[0], -1, MEL_PER_FRAME * N_MELS)


def unstack(stacked: Float[Array, "B T 320"]) -> Float[Array, "B M 80"]:
    """The inverse of `stack`."""
    return stacked.reshape(stacked.shape[0], -1, N_MELS)
