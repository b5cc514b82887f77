"""What the network may look at of a clip or a record, and whether that is all it needs."""

from collections.abc import Set

import numpy as np

from v2s_jax.constants import (
    EXPRESSION_SIZE,
    FACE_SIZE,
    MEL_PER_FRAME,
    MOUTH_SIZE,
    N_MELS,
    SAMPLES_PER_FRAME,
    SPEAKER_DIM,
)
from v2s_jax.data.schema import Record
from v2s_jax.errors import BadClip, V2SError
from v2s_jax.synthesis.network import Face

Look = tuple[Face, str]  # what may be looked at of a clip, and its name


def face_of(record: Record) -> Face:
    """What may be looked at of an example of a data set.

    Raises:
        V2SError: it was read without its mouth crops.
    """
    if record.mouth is None:
        raise V2SError(f"{record.id}: the record was read without its mouth crops; read it with the field mouth")
    face = Face(record.mouth, record.face, record.speaker_embedding, record.audio)
    return face._replace(expression=record.expression, identity=record.face_embedding, draft=record.draft)


def blank(frames: int) -> Face:
    """A black and silent clip with every field but those that come from others."""
    return Face(
        np.zeros((frames, MOUTH_SIZE, MOUTH_SIZE), np.uint8),
        np.zeros((4, FACE_SIZE, FACE_SIZE, 3), np.uint8),
        np.zeros(SPEAKER_DIM, np.float32),
        np.zeros(SAMPLES_PER_FRAME * frames, np.float32),
        np.zeros((frames, EXPRESSION_SIZE, EXPRESSION_SIZE), np.uint8),
        draft=np.zeros((MEL_PER_FRAME * frames, N_MELS), np.float32),
    )


def check_complete(face: Face, name: str, fields: Set[str], model: str) -> None:
    """Makes sure that a clip has what a model needs.

    Args:
        face: of the clip.
        name: of the clip.
        fields: that the model needs.
        model: its name.

    Raises:
        BadClip: something is not there.
    """
    given = {"mouth": face.mouth, "face": face.crops, "speaker_embedding": face.speaker, "audio": face.audio}
    given |= {"expression": face.expression, "face_embedding": face.identity, "draft": face.draft}
    absent = {field for field, value in given.items() if value is None or not len(value)}
    instead = {"face_embedding"} if face.voice is not None else set()
    missing = sorted((absent - instead) & fields)
    if missing:
        add = "prepare the data set again" if "expression" in missing else "add it"  # a clip always has it
        raise BadClip(
            f"{name}: has no {' and no '.join(missing)}, which the {model} model needs; "
            f"{add} or use a model that does without"
        )
