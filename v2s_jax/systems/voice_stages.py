"""What a face says, in whose voice and how: the stages of `faces2voices.py`, each from what the one before made."""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float
from ml_collections import ConfigDict, FrozenConfigDict

from v2s_jax.constants import MEL_PER_FRAME, SPEAKER_DIM, UNITS_PER_FRAME
from v2s_jax.data.batch import Batch
from v2s_jax.errors import V2SError
from v2s_jax.models import prosody
from v2s_jax.models.conditional_norm import ConditionalLayerNorm
from v2s_jax.models.content import ContentEncoder, smoothed_entropy
from v2s_jax.models.expression import ExpressionEncoder
from v2s_jax.models.spelling import Spelling
from v2s_jax.models.teacher_forcing import TeacherForcing
from v2s_jax.models.timbre import Timbre
from v2s_jax.systems.base import Metrics, frame_mask


class Voice(NamedTuple):
    """What the three stages make of clips.

    Attributes:
        logits: of the units.
        features: that the text is spelled from.
        speaker: timbre's guess, of unit norm; None where the config wants none.
        contours: prosody's guess; None where the config wants none.
        condition: what the decoder is given for each frame.
    """

    logits: Float[Array, "B S K"]
    features: Float[Array, "B S D"]
    speaker: Float[Array, "B 256"] | None
    contours: prosody.Contours | None
    condition: Float[Array, "B T C"]


class VoiceStages(nnx.Module):
    """Content, timbre and prosody.

    Args:
        config: the `system` section.
        rngs: for the initial weights.
        dtype: of the computation.

    Attributes:
        inputs: batch fields that are looked at when speaking, besides the mouth.
        truth: and those that training compares with.
        knobs: what a user may change of the prosody, and the values of old.
    """

    def __init__(self, config: ConfigDict, *, rngs: nnx.Rngs, dtype: DTypeLike = jnp.float32):
        self.config = FrozenConfigDict(config)
        timbre = {"face": {"face_embedding"}, "audio": {"speaker_embedding"}, "none": set()}[config.speaker_from]
        self.inputs = frozenset(timbre | ({"expression"} if config.prosody_from == "face" else set()))
        texts = {"characters"} if config.ctc_weight else set()
        self.truth = frozenset({"units", "speaker_embedding", "pitch", "energy"} | texts)
        self.knobs = prosody.CONTROLS if config.prosody_from == "face" else {}
        width, seen = config.content.width, config.expression[-1]
        self.content = ContentEncoder(config.encoder.width, config.clusters, config.content, dtype, rngs)
        if config.ctc_weight:
            self.text_head = Spelling(UNITS_PER_FRAME * width, dtype, rngs)
        self.timbre = Timbre(config.face, width, rngs)
        self.voiced = ConditionalLayerNorm(width, SPEAKER_DIM, rngs)
        self.expression = ExpressionEncoder(config.expression, seen, dtype, rngs)
        self.prosody = prosody.ProsodyPredictor(width, seen, config.prosody, dtype, rngs)
        self.contour = prosody.ContourEmbedding(width, dtype, rngs)
        self.teach_units, self.teach_speaker, self.teach_prosody = (
            TeacherForcing(config.teach[name]) for name in ("units", "speaker", "prosody")
        )
        self.drop_content, self.drop_speaker, self.drop_prosody, self.drop_all = (
            nnx.Dropout(config.drop.get(name, 0.0)) for name in ("content", "speaker", "prosody", "all")
        )

    def __call__(
        self,
        lips: Float[Array, "B T F"],
        batch: Batch,
        rngs: nnx.Rngs | None = None,
        knobs: Mapping[str, float | jax.Array] | None = None,
    ) -> Voice:
        """Content, then timbre, then prosody.

        Args:
            lips: visual features.
            batch: what the config's choices need; in training the truth, too. With a `speaker_embedding` and no
                `face_embedding` it is in that voice.
            rngs: streams `dropout` and `teach` when training.
            knobs: changes of the contours, see `models.prosody.control`.
        """
        rows, frames, _ = lips.shape
        steps = frame_mask(UNITS_PER_FRAME * batch.need("length"), UNITS_PER_FRAME * frames)
        said = self.content(lips, steps, rngs)
        shares = jax.nn.softmax(said.logits, -1)
        if batch.units is not None:
            true = jax.nn.one_hot(batch.need("units"), self.config.clusters)
            shares = self.teach_units(shares, true, rngs)
        stream = (said.features + self.content.embed(jax.lax.stop_gradient(shares))).astype(jnp.float32)
        kept = self._kept(rows, rngs)
        speaker, heard = self._timbre(batch, rngs)
        heard = heard * kept["speaker"][:, 0]
        stream = self.voiced(stream, heard)
        contours, moved = self._prosody(batch, stream, rngs, knobs)
        stream = stream * kept["content"] + moved * kept["prosody"]
        stream = jnp.where(steps[..., None], stream, 0)
        repeated = jnp.broadcast_to(SPEAKER_DIM**0.5 * heard[:, None], (rows, frames, SPEAKER_DIM))
        condition = jnp.concatenate([stream.reshape(rows, frames, -1), repeated], -1)
        return Voice(said.logits, said.features, speaker, contours, condition)

    def _kept(self, rows: int, rngs: nnx.Rngs | None) -> dict[str, Float[Array, "B 1 1"]]:
        """1 or 0 for each row and condition."""
        drops = {"content": self.drop_content, "speaker": self.drop_speaker, "prosody": self.drop_prosody}
        ones = jnp.ones((rows, 1, 1))
        some = (self.drop_all(ones, rngs=rngs) > 0).astype(jnp.float32)
        return {name: some * (drop(ones, rngs=rngs) > 0) for name, drop in drops.items()}

    def _timbre(self, batch: Batch, rngs: nnx.Rngs | None) -> tuple[jax.Array | None, jax.Array]:
        """The guess, if there is one, and the embedding that is used."""
        rows = batch.need("length").shape[0]
        if self.config.speaker_from == "none":
            return None, jnp.zeros((rows, SPEAKER_DIM))
        if self.config.speaker_from == "audio":
            return None, batch.need("speaker_embedding")
        if batch.face_embedding is None:  # somebody else's voice is asked for
            return None, batch.need("speaker_embedding")
        face = batch.need("face_embedding")
        if face.shape[-1] != self.config.face:
            raise V2SError(
                f"face embeddings have {face.shape[-1]} numbers, but the model takes {self.config.face}: make them "
                "with the face encoder that it was trained with (prepare tokens --face-encoder, synthesis.face_encoder)"
            )
        guess = self.timbre(face)
        if batch.speaker_embedding is None:
            return guess, guess
        true = batch.need("speaker_embedding")
        return guess, self.teach_speaker(guess, true, rngs) if rngs is not None else guess

    def _prosody(
        self, batch: Batch, stream: jax.Array, rngs: nnx.Rngs | None, knobs: Mapping[str, float | jax.Array] | None
    ) -> tuple[prosody.Contours | None, jax.Array]:
        """The guess, if there is one, and what is added to the stream."""
        if self.config.prosody_from == "none":
            return None, jnp.zeros_like(stream)
        length = batch.need("length")
        rows, steps, _ = stream.shape
        mels = frame_mask(MEL_PER_FRAME * length, steps * prosody.MEL_PER_STEP)
        faces = batch.need("expression")
        seen = self.expression(faces.astype(jnp.float32) / 127.5 - 1, frame_mask(length, faces.shape[1]))
        guess = self.prosody(stream, seen, frame_mask(UNITS_PER_FRAME * length, steps), rngs)
        used = guess
        if batch.pitch is not None and rngs is not None:
            true = prosody.measured(batch.need("pitch"), batch.need("energy"))
            told = self.teach_prosody(jnp.stack(guess, -1), jnp.stack(true, -1), rngs)
            used = prosody.Contours(*jnp.moveaxis(told, -1, 0))
        elif knobs is not None:
            settings = {name: jnp.asarray(knobs.get(name, value)) for name, value in prosody.CONTROLS.items()}
            used = prosody.control(guess, mels, settings)
        return guess, self.contour(used)

    def losses(self, stage: str, batch: Batch, found: Voice) -> tuple[Metrics, Metrics]:
        """The terms of a stage's loss, and what else to log.

        Args:
            stage: "content", "timbre" or "prosody".
            batch: with the truth.
            found: what was made of it.
        """
        return {"content": self._content_loss, "timbre": self._timbre_loss, "prosody": self._prosody_loss}[stage](
            batch, found
        )

    def _content_loss(self, batch: Batch, found: Voice) -> tuple[Metrics, Metrics]:
        """Cross entropy of the units and, with a weight, of the text."""
        length, units = batch.need("length"), batch.need("units")
        mask = frame_mask(UNITS_PER_FRAME * length, units.shape[1])
        entropy, right = smoothed_entropy(found.logits, units, mask, self.config.smoothing)
        if not self.config.ctc_weight:
            return {"units": entropy}, {"unit_accuracy": right}
        pairs = found.features.reshape(units.shape[0], units.shape[1] // UNITS_PER_FRAME, -1)
        ctc = self.text_head.loss(pairs, length, batch.need("characters"))
        return {"units": entropy, "spelling": self.config.ctc_weight * ctc}, {"unit_accuracy": right, "ctc": ctc}

    def _timbre_loss(self, batch: Batch, found: Voice) -> tuple[Metrics, Metrics]:
        """1 - cosine, and L1, to the speaker encoder's embedding."""
        if found.speaker is None:
            return {}, {}
        true, present = batch.need("speaker_embedding"), batch.need("length") > 0
        count = jnp.maximum(present.sum(), 1)
        cosine = jnp.sum(jnp.where(present, optax.cosine_similarity(found.speaker, true, epsilon=1e-8), 0)) / count
        apart = jnp.sum(jnp.where(present, jnp.abs(found.speaker - true).sum(-1), 0)) / count / SPEAKER_DIM**0.5
        return {"timbre_cosine": 1 - cosine, "timbre_l1": apart}, {}

    def _prosody_loss(self, batch: Batch, found: Voice) -> tuple[Metrics, Metrics]:
        """Of voicing, pitch and energy."""
        if found.contours is None:
            return {}, {}
        true = prosody.measured(batch.need("pitch"), batch.need("energy"))
        mask = frame_mask(MEL_PER_FRAME * batch.need("length"), true.pitch.shape[1])
        return prosody.prosody_losses(found.contours, true, mask), {}
