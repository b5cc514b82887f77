"""The record: one utterance as it lies in a shard, and the table that says how each of its fields is stored."""

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from jaxtyping import Float, Int, UInt8

from v2s_jax.constants import (
    EXPRESSION_SIZE,
    FACE_SIZE,
    MEL_PER_FRAME,
    MOUTH_SIZE,
    N_MELS,
    SAMPLES_PER_FRAME,
    SPEAKER_DIM,
    UNITS_PER_FRAME,
)
from v2s_jax.data import codecs, example
from v2s_jax.errors import V2SError

# Raise it whenever a record written before cannot be read as before; a new optional field does not need it.
SCHEMA_VERSION = 1


@dataclasses.dataclass(frozen=True)
class Record:
    """One utterance of T video frames; optional fields (and fields not asked for when reading) are None.

    Attributes:
        id: unique in its data set, such as `s1/bbaf2n`.
        n_frames: T, at 25 fps.
        speaker: who speaks.
        text: what is said, or "".
        source: the clip it was made from.
        start_frame: first frame within the source, at 25 fps.
        end_frame: one past the last.
        coverage: share of frames in which the face was detected, not interpolated.
        confidence: the face detector's mean score.
        mouth: grey mouth crops, 0-255.
        face: aligned RGB identity crops, 0-255.
        expression: grey crops of the whole face, 0-255; records made before there were any have none.
        audio: waveform in [-1, 1] at 16 kHz, 640 T samples.
        units: discrete speech units at 50 Hz, 2 T of them.
        text_tokens: ids of the text's tokens.
        speaker_embedding: L2-normalised speaker vector.
        face_embedding: L2-normalised vector of whose face it is, as long as its encoder makes it.
        pitch: F0 in Hz at 100 Hz, 4 T values, 0 where unvoiced.
        energy: log frame energy at 100 Hz, 4 T values.
        draft: log-mel of what another model made of the clip, not scaled, float16, 4 T frames.
    """

    id: str
    n_frames: int
    speaker: str = ""
    text: str = ""
    source: str = ""
    start_frame: int = 0
    end_frame: int = 0
    coverage: float = 1.0
    confidence: float = 0.0
    mouth: UInt8[np.ndarray, "T 96 96"] | None = None
    face: UInt8[np.ndarray, "K 112 112 3"] | None = None
    expression: UInt8[np.ndarray, "T 48 48"] | None = None
    audio: Float[np.ndarray, "samples"] | None = None
    units: Int[np.ndarray, "units"] | None = None
    text_tokens: Int[np.ndarray, "n"] | None = None
    speaker_embedding: Float[np.ndarray, "256"] | None = None
    face_embedding: Float[np.ndarray, "D"] | None = None
    pitch: Float[np.ndarray, "mels"] | None = None
    energy: Float[np.ndarray, "mels"] | None = None
    draft: Float[np.ndarray, "mels 80"] | None = None


@dataclasses.dataclass(frozen=True)
class Field:
    """How one field is stored.

    Attributes:
        kind: list of `tf.train.Feature` that holds it.
        shape: of the decoded array; "T" stands for n_frames times `per_frame`, None for any length.
        dtype: of the decoded array.
        per_frame: entries to a video frame; None for fields that do not run along the clip.
        scalar: one value, always there, instead of an array that may be absent (stored empty).
        encode: array -> stored values.
        decode: (stored values, start frame, stop frame) -> array.
    """

    kind: str
    dtype: Any
    shape: tuple[int | str | None, ...] = ()
    per_frame: int | None = None
    scalar: bool = False
    encode: Callable[[Any], Sequence[Any]] = lambda value: [value]
    decode: Callable[[Sequence[Any], int, int], Any] = lambda values, start, stop: values[0]


def _text() -> Field:
    return Field(
        "bytes_list",
        str,
        scalar=True,
        encode=lambda s: [s.encode()],
        decode=lambda values, start, stop: values[0].decode(),
    )


def _frames(size: int) -> Field:
    """Grey square crops of `size` pixels, one to a video frame."""
    shape = ("T", size, size)
    return Field("bytes_list", np.uint8, shape, 1, encode=codecs.encode_frames, decode=codecs.decode_frames)


def _array(kind: str, dtype: Any, per_frame: int | None = None, length: int | None = None) -> Field:
    """A plain array, one-dimensional; with `per_frame`, aligned to the video."""

    def decode(values, start, stop):
        array = np.asarray(values, dtype)
        return array[start * per_frame : stop * per_frame] if per_frame else array

    shape: tuple[int | str | None, ...] = ("T",) if per_frame else (length,)
    return Field(kind, dtype, shape, per_frame, encode=lambda array: array.tolist(), decode=decode)


# Everything that stores, reads, describes or checks records goes through this table: a new token is one line here and
# one in Record.
FIELDS: dict[str, Field] = {
    "id": _text(),
    "speaker": _text(),
    "text": _text(),
    "source": _text(),
    "n_frames": Field("int64_list", np.int32, scalar=True),
    "start_frame": Field("int64_list", np.int32, scalar=True),
    "end_frame": Field("int64_list", np.int32, scalar=True),
    "coverage": Field("float_list", np.float32, scalar=True),
    "confidence": Field("float_list", np.float32, scalar=True),
    "mouth": _frames(MOUTH_SIZE),
    "face": Field(
        "bytes_list",
        np.uint8,
        (None, FACE_SIZE, FACE_SIZE, 3),
        encode=codecs.encode_face,
        decode=lambda values, start, stop: codecs.decode_face(values),
    ),
    "expression": _frames(EXPRESSION_SIZE),
    "audio": Field(
        "bytes_list", np.float32, ("T",), SAMPLES_PER_FRAME, encode=codecs.encode_audio, decode=codecs.decode_audio
    ),
    "units": _array("int64_list", np.int16, per_frame=UNITS_PER_FRAME),
    "text_tokens": _array("int64_list", np.int32),
    "speaker_embedding": _array("float_list", np.float32, length=SPEAKER_DIM),
    "face_embedding": _array("float_list", np.float32),
    "pitch": _array("float_list", np.float32, per_frame=MEL_PER_FRAME),
    "energy": _array("float_list", np.float32, per_frame=MEL_PER_FRAME),
    "draft": Field(
        "bytes_list", np.float16, ("T", N_MELS), MEL_PER_FRAME, encode=codecs.encode_mel, decode=codecs.decode_mel
    ),
}
ARRAYS = frozenset(name for name, field in FIELDS.items() if not field.scalar)
TOKEN_FIELDS = ARRAYS - {"mouth", "face", "expression", "audio"}  # made of the others, and can be added later


def encode(record: Record) -> bytes:
    """The record as a serialised `tf.train.Example`; None becomes an empty list.

    Raises:
        V2SError: a field's shape does not fit the record's n_frames.
    """
    stored: dict[str, tuple[str, Sequence[Any]]] = {}
    for name, field in FIELDS.items():
        value = getattr(record, name)
        if not field.scalar and value is not None:
            _check_shape(record, name, value)
        stored[name] = (field.kind, () if value is None else field.encode(value))
    return example.serialize(stored)


def stored_values(data: bytes) -> dict[str, Sequence[Any]]:
    """The stored, still compressed, values of every field of the table; fields the record lacks are empty.

    Raises:
        V2SError: `data` is no record.
    """
    try:
        values = example.parse(data)
    except DecodeError as error:
        raise V2SError("a record cannot be parsed: the shard is damaged, so prepare the data set again") from error
    return {name: values.get(name, ()) for name in FIELDS}


def with_fields(data: bytes, values: Mapping[str, np.ndarray]) -> bytes:
    """A serialised record with some array fields set; the others stay as they are stored, to the bit.

    Args:
        data: as `encode` wrote it.
        values: new arrays by field.

    Raises:
        V2SError: `data` is no record, or an array's shape does not fit its n_frames.
    """
    stored = stored_values(data)
    record = decode_values(stored, fields=())
    for name, value in values.items():
        _check_shape(record, name, value)
        stored[name] = FIELDS[name].encode(value)
    return example.serialize({name: (FIELDS[name].kind, stored[name]) for name in FIELDS})


def decode(data: bytes, fields: Collection[str] = ARRAYS, window: tuple[int, int] | None = None) -> Record:
    """Reads a serialised record.

    Args:
        data: as `encode` wrote it.
        fields: the arrays to decode; what is not named is not decompressed. Scalars and texts always come.
        window: frames [start, stop) to read; the whole clip when None. The record returned has only those.

    Raises:
        V2SError: `data` is no record.
    """
    stored = stored_values(data)
    return decode_values(stored, fields, window)


def decode_values(
    stored: Mapping[str, Sequence[Any]], fields: Collection[str] = ARRAYS, window: tuple[int, int] | None = None
) -> Record:
    """Like `decode`, from the values of `stored_values`."""
    start, stop = window or (0, stored["n_frames"][0])
    values = {}
    for name, field in FIELDS.items():
        if (field.scalar or name in fields) and len(stored[name]):
            values[name] = field.decode(stored[name], start, stop)
    values["n_frames"] = stop - start
    values["end_frame"] = values["start_frame"] + stop
    values["start_frame"] += start
    return Record(**values)


def remedy(name: str) -> str:
    """What to do about records without field `name`, as a part of a sentence."""
    if name == "draft":
        return "v2s-jax prepare drafts adds it"
    if name in TOKEN_FIELDS:
        return "v2s-jax prepare tokens adds it"
    if name == "expression":
        return "data sets prepared by this version have it: prepare the data set again, into another folder"
    return "prepare a data set that has it"


def array_shape(name: str, n_frames: int) -> tuple[int | None, ...]:
    """The shape field `name` has in a clip of `n_frames`; None where any length goes."""
    field = FIELDS[name]
    return tuple(n_frames * (field.per_frame or 1) if size == "T" else size for size in field.shape)  # type: ignore[misc]


def _check_shape(record: Record, name: str, value: np.ndarray) -> None:
    expected = array_shape(name, record.n_frames)
    fits = len(expected) == value.ndim and all(e in (None, s) for e, s in zip(expected, value.shape, strict=True))
    if not fits:
        raise V2SError(
            f"{record.id}: {name} has shape {value.shape}, but a clip of {record.n_frames} frames needs {expected}"
        )
