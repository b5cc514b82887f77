"""The one structure that every system trains on and synthesizes from."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, UInt8

Array = jax.Array | np.ndarray


@jax.tree_util.register_pytree_with_keys_class
@dataclasses.dataclass(frozen=True)
class Batch:
    """Utterances padded to one bucket of T video frames; fields a system does not ask for are None.

    Everything beyond `length` is padding: zeros, whatever the field. A row of length 0 is padding as a whole.

    Attributes:
        length: valid video frames of each row.
        mouth: grey mouth crops, 0-255, not normalised.
        audio: waveform in [-1, 1] at 16 kHz, 640 T samples.
        face: aligned RGB identity crops, 0-255.
        expression: grey crops of the whole face, 0-255, not normalised; mirrored and hidden where the mouth's are.
        speaker_embedding: L2-normalised speaker vector.
        face_embedding: L2-normalised vector of whose face it is.
        speaker_id: a number made of the speaker's name, so that equal ones are one speaker's.
        units: discrete speech units at 50 Hz, 2 T of them.
        pitch: F0 in Hz at 100 Hz, 4 T frames, 0 where unvoiced.
        energy: log frame energy at 100 Hz, 4 T frames.
        start: the frame of its clip that each row begins with, where that is known and not 0 for all.
        characters: codes of the text's characters (`features/text.py`), 0 beyond; none where only a window of the clip
            was read, or where they are more than T.
        draft: log-mel of what another model made of the clip, not scaled, 4 T frames; not hidden where the mouth is.
    """

    length: Int[Array, "B"]
    mouth: UInt8[Array, "B T 88 88"] | None = None
    audio: Float[Array, "B samples"] | None = None
    face: UInt8[Array, "B K 112 112 3"] | None = None
    expression: UInt8[Array, "B T 48 48"] | None = None
    speaker_embedding: Float[Array, "B 256"] | None = None
    face_embedding: Float[Array, "B E"] | None = None
    speaker_id: Int[Array, "B"] | None = None
    units: Int[Array, "B half_frames"] | None = None
    pitch: Float[Array, "B mel_frames"] | None = None
    energy: Float[Array, "B mel_frames"] | None = None
    start: Int[Array, "B"] | None = None
    characters: Int[Array, "B T"] | None = None
    draft: Float[Array, "B mel_frames 80"] | None = None

    def need(self, name: str) -> jax.Array:
        """The field `name`, which must be there.

        Raises:
            ValueError: the loader was not asked for it.
        """
        value = getattr(self, name)
        if value is None:
            raise ValueError(f"the batch has no {name}: the system must name it in its `fields`")
        return jnp.asarray(value)

    def tree_flatten_with_keys(self):
        """Children with their names, for jax."""
        names = [field.name for field in dataclasses.fields(self)]
        return [(jax.tree_util.GetAttrKey(name), getattr(self, name)) for name in names], None

    @classmethod
    def tree_unflatten(cls, _, children):
        """Rebuilds without __init__, since jax also fills trees with shardings and abstract values."""
        batch = object.__new__(cls)
        for field, child in zip(dataclasses.fields(cls), children, strict=True):
            object.__setattr__(batch, field.name, child)
        return batch
