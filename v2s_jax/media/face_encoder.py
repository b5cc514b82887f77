"""Whose face it is, as one vector for the face crops of a clip: by dlib's network, or by an ArcFace-type model in ONNX.

Vectors of different encoders have nothing to do with each other, so each carries a name and a fingerprint.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from v2s_jax.constants import FACE_SIZE
from v2s_jax.errors import V2SError
from v2s_jax.media import align
from v2s_jax.media.dlib_models import IDENTITY, identity_model, model_file

DEFAULT_ENCODER = "dlib"
_ONNX = ".onnx"
Embed = Callable[[np.ndarray], np.ndarray]  # from one crop to its vector


class FaceEncoder:
    """An encoder of faces. Calls from several threads are safe.

    Args:
        name_or_path: `dlib` (CC0, comes with the package: 128 numbers), or the path of an ArcFace-type model that ends
            in .onnx, such as insightface's (512 numbers, most of them for research use only).

    Attributes:
        name: the last part of the path.
        fingerprint: changes with any weight.
        dim: length of the vectors.

    Raises:
        V2SError: there is no such encoder, it cannot be run, or it takes or gives arrays of other shapes.
    """

    def __init__(self, name_or_path: str | os.PathLike = DEFAULT_ENCODER):
        path = Path(name_or_path)
        self.name = path.name
        if str(name_or_path) == DEFAULT_ENCODER:
            path, self._embed = Path(model_file(IDENTITY)), _dlib()
        elif path.suffix != _ONNX or not path.is_file():
            raise V2SError(
                f"{name_or_path}: there is no such face encoder; expected {DEFAULT_ENCODER}, or the path of an "
                f"ArcFace-type model that ends in {_ONNX}"
            )
        else:
            self._embed = _arcface(path)
        self._path = path
        self.dim = len(self._embed(np.zeros((FACE_SIZE, FACE_SIZE, 3), np.uint8)))
        with path.open("rb") as file:
            self.fingerprint = hashlib.file_digest(file, "sha256").hexdigest()[:12]

    def __call__(self, faces: UInt8[np.ndarray, "K 112 112 3"]) -> Float[np.ndarray, "D"]:
        """The unit vector of aligned face crops of one person: the mean of the crops' own unit vectors, normalised.

        Raises:
            V2SError: there is no crop, or the model's numbers are not finite.
        """
        if not len(faces):
            raise V2SError("there is no face crop to tell whose face it is")
        vector = _unit(np.mean([_unit(self._embed(face)) for face in faces], axis=0))
        if not np.isfinite(vector).all():
            raise V2SError(f"{self._path}: the model's output is not finite; its file is damaged")
        return vector.astype(np.float32)


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(float(np.linalg.norm(vector)), 1e-12)


def _dlib() -> Embed:
    """By the network that tells people apart in `track.py`, whose chips are aligned otherwise than face crops."""
    # The last 13 of the chip's 150 rows, at the chin, are below the crop and stay black: on GRID the vectors are as
    # near to those of dlib's own chips (cosine 0.993) as with the crop's edge repeated there.
    warp = align.similarity(align.face_points(), align.chip_points())
    network = identity_model()

    def embed(face: np.ndarray) -> np.ndarray:
        chip = np.round(align.sample(face, warp, align.CHIP_SIZE)).astype(np.uint8)
        return np.array(network.compute_face_descriptor(chip))  # dlib holds Python's lock, so threads take turns

    return embed


def _arcface(path: Path) -> Embed:
    """By a model of one input [N, 3, 112, 112], RGB within [-1, 1] as insightface feeds it, and an output [N, E]."""
    session = _session(path)
    (name,) = (tensor.name for tensor in session.get_inputs())

    def embed(face: np.ndarray) -> np.ndarray:
        picture = (face.astype(np.float32) - 127.5) / 127.5
        # One at a time: some models take no more.
        return session.run(None, {name: picture.transpose(2, 0, 1)[None]})[0][0]

    return embed


def _session(path: Path) -> Any:
    """The model on one core (clips are computed side by side), its shapes checked."""
    try:
        import onnxruntime
    except ImportError as error:
        raise V2SError(
            f"{path}: to run it the package onnxruntime is missing (pip install 'v2s-jax[eval]' adds it)"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3  # errors; published models are warned of for what does no harm
    expected = (1, 3, FACE_SIZE, FACE_SIZE)
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        inputs = {tensor.name: (tensor.type, tensor.shape) for tensor in session.get_inputs()}
        if len(inputs) != 1 or not all(kind == "tensor(float)" and _fits(s, expected) for kind, s in inputs.values()):
            raise V2SError(
                f"{path}: takes {_listed(inputs)}; expected an ArcFace-type model with one input of floats "
                f"[N, 3, {FACE_SIZE}, {FACE_SIZE}]"
            )
        output = session.run(None, {next(iter(inputs)): np.zeros(expected, np.float32)})[0]
    except V2SError:
        raise
    except Exception as error:  # onnxruntime has a class of its own for each cause, and no common one
        reason = str(error).strip().splitlines()[0]
        raise V2SError(f"{path}: cannot be run as an ONNX model, it may be damaged ({reason})") from error
    if output.ndim != 2 or len(output) != 1:
        raise V2SError(f"{path}: gives an array {list(output.shape)} for one face; expected a vector each, [1, E]")
    return session


def _fits(shape: list[int | str | None], expected: tuple[int, ...]) -> bool:
    """Whether an array of this shape may be fed; sizes that are names, or unknown, may be anything."""
    sizes = zip(shape, expected, strict=False)
    return len(shape) == len(expected) and all(not isinstance(size, int) or size == want for size, want in sizes)


def _listed(inputs: dict[str, tuple[str, list]]) -> str:
    return ", ".join(f"{name}: {kind} {shape}" for name, (kind, shape) in inputs.items()) or "no input"
