"""Faces in pictures: a light detector on every picture, other sizes and a stronger detector where it fails."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from v2s_jax.media.dlib_models import cnn_detector, hog_detector, landmark_model

DETECTION_SIZE = 1920  # pixels, longest side of the pictures handed to the detector
_BASE_SIZE = 640  # pixels, longest side first looked at
_UPSAMPLE = 2.0  # beyond this, enlarging a picture adds no faces worth reading
SMALLEST_FACE = 80  # pixels, what dlib's detectors were trained down to

# At 0 the detector misses 10-60 % of GRID's frames on some clips; at -0.4 it finds a face in each clip. The false
# alarms this brings are short-lived or weak, and are dropped when tracks are chosen.
_HOG_THRESHOLD = -0.4
_LOOK_ABOUT = 5  # pictures from one search of the whole picture to the next while a single face is followed
_FOLLOWED_FACE = 160  # pixels that a face which is followed is shrunk to if larger; the detector needs half of it
_POOR = 0.5  # share of a chunk's pictures with a face below which other sizes are tried
_PROBES = 3  # pictures of a chunk that other sizes are tried on
_CNN_STRIDE = 8  # missed pictures in a row to one look of the stronger detector; shorter gaps are left to interpolation
_CNN_CREDIT = 12  # looks without success after which the stronger detector rests


@dataclasses.dataclass(frozen=True)
class Face:
    """One face in one picture.

    Attributes:
        box: left, top, right, bottom in pixels of the picture searched.
        score: the detector's margin; about 0 is doubtful, above 1 is clear.
        landmarks: x, y of 5 or 68 points.
    """

    box: Float[np.ndarray, "4"]
    score: float
    landmarks: Float[np.ndarray, "P 2"]


class FaceDetector:
    """Finds all faces in consecutive pictures of one clip, remembering at which size it found them.

    Large pictures are searched at a longest side of 640 pixels first. When that finds too little, the sizes up to the
    picture's own (at most 1920), or twice it for small pictures, are tried on a few pictures and the best is kept. What
    is still missed goes to the CNN detector, one in eight pictures, as long as it succeeds now and then. A single face
    is looked for around its last place, and in the whole picture only every fifth time or when it is not there.
    """

    def __init__(self, landmarks: int = 5):
        """Args: landmarks: 5, or 68 (a model for research use only)."""
        self._landmarks = landmark_model(landmarks)
        self._scale: float | None = None
        self._credit = _CNN_CREDIT
        self._followed: Face | None = None
        self._countdown = 0

    def __call__(self, pictures: Sequence[UInt8[np.ndarray, "H W 3"]]) -> list[list[Face]]:
        """Faces of each picture of a chunk (about a second of video, all of one size)."""
        scales = _scales(max(pictures[0].shape[:2]))
        self._scale = self._scale or scales[0]
        found = self._search(pictures, self._scale)
        if _share(found) < _POOR and len(scales) > 1:
            found = self._other_sizes(pictures, found, scales)
        return self._stronger(pictures, found)

    def _search(self, pictures: Sequence[np.ndarray], scale: float) -> list[list[Face]]:
        results: list[list[Face]] = []
        for index, picture in enumerate(pictures):
            # A picture that stays on screen is the same object.
            repeated = index > 0 and picture is pictures[index - 1]
            results.append(results[-1] if repeated else self._follow(picture, scale))
        return results

    def _follow(self, picture: np.ndarray, scale: float) -> list[Face]:
        """Around the last place of a single face if it may be trusted, else in the whole picture."""
        faces: list[Face] = []
        if self._followed is not None and self._countdown > 0:
            width = self._followed.box[2] - self._followed.box[0]
            faces = self._hog(picture, min(scale, _FOLLOWED_FACE / width), around(picture, self._followed.box))
            self._countdown -= 1
        if len(faces) != 1:
            faces = self._hog(picture, scale)
            self._countdown = _LOOK_ABOUT - 1
        self._followed = faces[0] if len(faces) == 1 else None
        return faces

    def _hog(self, picture: np.ndarray, scale: float, window: tuple[slice, slice] | None = None) -> list[Face]:
        part = picture if window is None else picture[window]
        shift = (0, 0) if window is None else (window[1].start, window[0].start)
        boxes, scores, _ = hog_detector().run(_scaled(part, scale), 0, _HOG_THRESHOLD)
        return [self._face(picture, box, score, scale, shift) for box, score in zip(boxes, scores, strict=True)]

    def _face(self, picture: np.ndarray, box: Any, score: float, scale: float, shift: tuple[int, int] = (0, 0)) -> Face:
        import dlib

        corners = np.array([box.left(), box.top(), box.right() + 1, box.bottom() + 1]) / scale + np.tile(shift, 2)
        shape = self._landmarks(picture, dlib.rectangle(*(int(round(value)) for value in corners - [0, 0, 1, 1])))
        points = np.array([(point.x, point.y) for point in shape.parts()], float)
        return Face(corners, float(score), points)

    def _other_sizes(self, pictures, found, scales: list[float]) -> list[list[Face]]:
        missed = [index for index, faces in enumerate(found) if not faces]
        probes = [missed[round(i)] for i in np.linspace(0, len(missed) - 1, min(_PROBES, len(missed)))]
        trials = {scale: [self._hog(pictures[i], scale) for i in probes] for scale in scales if scale != self._scale}
        best = max(trials, key=lambda scale: _strength(trials[scale]))
        if not _strength(trials[best]):
            return found
        self._scale = best
        again = self._search([pictures[index] for index in missed], best)
        return _filled(found, dict(zip(missed, again, strict=True)))

    def _stronger(self, pictures, found: list[list[Face]]) -> list[list[Face]]:
        more: dict[int, list[Face]] = {}
        for run in _runs([not faces for faces in found]):
            for index in run[_CNN_STRIDE // 2 :: _CNN_STRIDE] if len(run) >= _CNN_STRIDE else []:
                if self._credit <= 0:
                    return _filled(found, more)
                more[index] = self._cnn(pictures[index])
                self._credit = _CNN_CREDIT if more[index] else self._credit - 1
        return _filled(found, more)

    def _cnn(self, picture: np.ndarray) -> list[Face]:
        scale = min(self._scale or 1.0, _BASE_SIZE / max(picture.shape[:2]))
        return [
            self._face(picture, result.rect, result.confidence, scale)
            for result in cnn_detector()(_scaled(picture, scale), 0)
        ]


def clearly_a_face(picture: UInt8[np.ndarray, "H W 3"]) -> bool:
    """Whether the stronger detector, too, sees a face in a small picture cut around a doubtful one."""
    scale = 2 * SMALLEST_FACE / max(picture.shape[:2]) * 2
    return bool(len(cnn_detector()(_scaled(picture, scale), 0)))


def around(picture: np.ndarray, box: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns around a box, half its size wider on each side."""
    margin = (box[2:] - box[:2]) / 2
    left, top = np.maximum(box[:2] - margin, 0).astype(int)
    right, bottom = np.ceil(box[2:] + margin).astype(int)
    return slice(int(top), int(min(bottom, picture.shape[0]))), slice(int(left), int(min(right, picture.shape[1])))


def _scales(longest: int) -> list[float]:
    """Sizes to search at, as factors of the picture, the cheap one first."""
    scales = [min(1.0, _BASE_SIZE / longest)]
    while scales[-1] * 2 <= max(1.0, min(_UPSAMPLE, DETECTION_SIZE / longest)):
        scales.append(scales[-1] * 2)
    if scales[-1] < 1:
        scales.append(1.0)
    return scales


def _scaled(picture: np.ndarray, scale: float) -> np.ndarray:
    import dlib

    height, width = picture.shape[:2]
    size = max(1, round(height * scale)), max(1, round(width * scale))
    picture = np.ascontiguousarray(picture)  # dlib takes no views
    return picture if size == (height, width) else dlib.resize_image(picture, rows=size[0], cols=size[1])


def _share(found: list[list[Face]]) -> float:
    return sum(bool(faces) for faces in found) / len(found)


def _strength(found: list[list[Face]]) -> float:
    return sum(max((face.score - _HOG_THRESHOLD for face in faces), default=0.0) for faces in found)


def _filled(found: list[list[Face]], more: dict[int, list[Face]]) -> list[list[Face]]:
    return [more.get(index, faces) for index, faces in enumerate(found)]


def _runs(flags: list[bool]) -> list[list[int]]:
    """Indices of each run of true flags."""
    runs: list[list[int]] = []
    for index, flag in enumerate(flags):
        if flag:
            if index and flags[index - 1]:
                runs[-1].append(index)
            else:
                runs.append([index])
    return runs
