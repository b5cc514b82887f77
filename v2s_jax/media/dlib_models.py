"""dlib's trained face models, each loaded once per process from the files of `face_recognition_models`.

All but one are in the public domain (CC0, github.com/davisking/dlib-models). The 68-point landmark model was trained on
iBUG 300-W, whose licence allows research use only: it is loaded only when a caller asks for 68 points.
"""

import functools
import importlib.util
from pathlib import Path
from typing import Any

from v2s_jax.errors import V2SError

_PACKAGE = "face_recognition_models"
IDENTITY = "dlib_face_recognition_resnet_model_v1.dat"


def model_file(name: str) -> str:
    """The path of one of the package's files.

    Raises:
        V2SError: it is not installed.
    """
    # Found without importing: the package's own module needs pkg_resources, which new setuptools no longer carry.
    spec = importlib.util.find_spec(_PACKAGE)
    path = Path(spec.origin).parent / "models" / name if spec and spec.origin else None
    if path is None or not path.is_file():
        raise V2SError(f"the face model {name} is not installed; install the package {_PACKAGE}")
    return str(path)


@functools.cache
def hog_detector() -> Any:
    """The frontal face detector: histogram of oriented gradients, faces of 80 pixels and up."""
    import dlib

    return dlib.get_frontal_face_detector()


@functools.cache
def cnn_detector() -> Any:
    """The max-margin CNN detector: sees turned and half hidden faces, some 60 times slower than `hog_detector`."""
    import dlib

    return dlib.cnn_face_detection_model_v1(model_file("mmod_human_face_detector.dat"))


@functools.cache
def landmark_model(points: int) -> Any:
    """The landmark model of 5 points (CC0), or of 68 (iBUG 300-W: research use only)."""
    import dlib

    return dlib.shape_predictor(model_file(f"shape_predictor_{points}_face_landmarks.dat"))


@functools.cache
def identity_model() -> Any:
    """The face identity network: 128 numbers, closer than 0.6 for the same person."""
    import dlib

    return dlib.face_recognition_model_v1(model_file(IDENTITY))
