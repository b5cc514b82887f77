"""Linking detections to tracks, tracks to people, and choosing whom to read."""

import array
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int, UInt8

from v2s_jax.media.align import CHIP_SIZE, chip_points, sample, similarity, stable_points
from v2s_jax.media.detect import Face, around, clearly_a_face
from v2s_jax.media.dlib_models import identity_model

_OVERLAP = 0.3  # intersection over union above which boxes of neighbouring pictures are one face
_PATIENCE = 25  # frames a track waits for its face; later ones start a new track, joined again by identity
# Correlation of a face with itself when last seen; below it is a cut. On GRID it is 0.92 and up, between people at most
# 0.74. A wrong guess does no harm: identity joins the tracks again.
_SAME_LOOK = 0.75
_LOOK = 24  # pixels of the small picture that this is measured on
_SAME_PERSON = 0.6  # distance of identity vectors (dlib's own threshold)
_CLEAR = 0.5  # margin that a face needs, once, to be believed without the stronger detector
_SHORTEST = 3  # detections; fewer are a false alarm, unless the clip is that short


class Track:
    """Detections of one face, at most one a frame, in order of time."""

    def __init__(self) -> None:
        self.frames: list[int] = []
        # Box, score and landmarks of each detection, in one growing buffer: thousands of small arrays between the
        # pictures that come and go would keep the heap from shrinking (60 MB a minute).
        self.rows = array.array("d")
        self.last_box = np.zeros(4)
        self.look = np.zeros(0)
        self.chip = self.surroundings = np.zeros((0, 0, 3), np.uint8)
        self._best = -np.inf

    def add(self, frame: int, face: Face, look: Float[np.ndarray, "n"], picture: UInt8[np.ndarray, "H W 3"]) -> None:
        """Appends a detection and keeps the picture of the clearest one."""
        self.frames.append(frame)
        self.rows.extend([*face.box, face.score, *face.landmarks.ravel()])
        self.last_box = face.box
        self.look = look
        # A new picture only for a clearer face, so that a steady track does not cut one out of each frame.
        if face.score > self._best + 0.1:
            self._best = face.score
            self.chip = np.round(_chip(picture, face, CHIP_SIZE)).astype(np.uint8)
            self.surroundings = picture[around(picture, face.box)].copy()

    @property
    def best(self) -> float:
        """The clearest detection's score."""
        return float(self.scores.max())

    @property
    def boxes(self) -> Float[np.ndarray, "n 4"]:
        """Box of each detection: left, top, right, bottom in pixels."""
        return self._table()[:, :4]

    @property
    def scores(self) -> Float[np.ndarray, "n"]:
        """Score of each detection."""
        return self._table()[:, 4]

    @property
    def landmarks(self) -> Float[np.ndarray, "n P 2"]:
        """Landmarks of each detection in pixels."""
        return self._table()[:, 5:].reshape(len(self.frames), -1, 2)

    def _table(self) -> np.ndarray:
        return np.array(self.rows).reshape(len(self.frames), -1)

    @property
    def mean_x(self) -> float:
        """Mean horizontal place in pixels."""
        return float(self.boxes[:, [0, 2]].mean())

    def weight(self) -> float:
        """How much this looks like the person to read: long, large, clear and steady."""
        sides = np.sqrt(_areas(self.boxes))
        centres = (self.boxes[:, :2] + self.boxes[:, 2:]) / 2
        near = np.diff(self.frames) <= 2
        steps = np.linalg.norm(np.diff(centres, axis=0), axis=-1)[near] / sides[1:][near]
        unsteady = float(steps.mean()) if near.any() else 0.0
        clear = float(np.clip(self.scores + 0.5, 0.05, 1.5).sum())
        return clear * float(np.median(sides)) / (1 + 10 * unsteady)


class Tracker:
    """Links the faces of consecutive frames by the overlap of their boxes, unless a cut puts someone else there."""

    def __init__(self) -> None:
        self.tracks: list[Track] = []

    def add(self, frame: int, faces: Sequence[Face], picture: UInt8[np.ndarray, "H W 3"]) -> None:
        """Takes the faces of the next frame."""
        waiting = [track for track in self.tracks if frame - track.frames[-1] <= _PATIENCE]
        # What flickered up once is forgotten here, or its pictures would pile up over a long clip.
        self.tracks = [track for track in self.tracks if track in waiting or len(track.frames) >= _SHORTEST]
        last = np.stack([track.last_box for track in waiting]) if waiting else np.zeros((0, 4))
        overlaps = overlap(np.stack([face.box for face in faces]), last) if faces else np.zeros((0, len(waiting)))
        looks = [_look(picture, face) for face in faces]
        free = set(range(len(faces)))
        while overlaps.size and overlaps.max() > _OVERLAP:
            index, best = (int(i) for i in np.unravel_index(overlaps.argmax(), overlaps.shape))
            track = waiting[best]
            if float(looks[index] @ track.look) < _SAME_LOOK:
                overlaps[index, best] = 0
                continue
            track.add(frame, faces[index], looks[index], picture)
            free.discard(index)
            overlaps[index], overlaps[:, best] = 0, 0
        for unlinked in sorted(free):
            self.tracks.append(Track())
            self.tracks[-1].add(frame, faces[unlinked], looks[unlinked], picture)


def people(tracks: Sequence[Track], n_frames: int) -> list[Track]:
    """One track a person, from left to right, false alarms dropped.

    Tracks that never overlap in time are one person when the identity network says so (a face that left and came back,
    or that a cut showed anew).

    Args:
        tracks: what a `Tracker` linked.
        n_frames: length of the clip.
    """
    shortest = min(_SHORTEST, n_frames)
    likely = [track for track in tracks if len(track.frames) >= shortest]
    # Weak tracks are common in cluttered pictures; they are looked at closely only when they would matter.
    most = max((len(track.frames) for track in likely), default=0)
    likely = [track for track in likely if track.best >= _CLEAR or len(track.frames) >= most / 4]
    real = [track for track in likely if track.best >= _CLEAR or clearly_a_face(track.surroundings)]
    return sorted(_joined(real), key=lambda track: track.mean_x)


def overlap(a: Float[np.ndarray, "N 4"], b: Float[np.ndarray, "M 4"]) -> Float[np.ndarray, "N M"]:
    """Intersection over union of every pair of boxes."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    common = np.prod(np.clip(high - low, 0, None), axis=-1)
    return common / np.maximum(_areas(a)[:, None] + _areas(b)[None] - common, 1e-9)


def _chip(picture: np.ndarray, face: Face, size: int) -> np.ndarray:
    """The face upright, as the identity network wants it, at `size` pixels."""
    return sample(picture, similarity(stable_points(face.landmarks), chip_points(size)), size)


def _look(picture: np.ndarray, face: Face) -> np.ndarray:
    """A small picture of the face as a unit vector, for correlation."""
    small = _chip(picture, face, _LOOK).mean(axis=-1).ravel()
    small -= small.mean()
    return small / max(float(np.linalg.norm(small)), 1e-9)


def _areas(boxes: np.ndarray) -> np.ndarray:
    return np.prod(boxes[:, 2:] - boxes[:, :2], axis=-1)


def _joined(tracks: list[Track]) -> list[Track]:
    """Greedy merge of fragments, the longest first, each with the most alike of those it does not overlap in time."""
    if len(tracks) < 2:
        return tracks
    identity = {id(track): np.array(identity_model().compute_face_descriptor(track.chip)) for track in tracks}
    groups: list[list[Track]] = []
    for track in sorted(tracks, key=lambda track: -len(track.frames)):
        distances = [
            np.inf if _meet(track, group) else float(np.linalg.norm(identity[id(track)] - identity[id(group[0])]))
            for group in groups
        ]
        nearest = int(np.argmin(distances)) if distances else 0
        if distances and distances[nearest] < _SAME_PERSON:
            groups[nearest].append(track)
        else:
            groups.append([track])
    return [_merged(group) for group in groups]


def _meet(track: Track, group: list[Track]) -> bool:
    return any(set(track.frames) & set(other.frames) for other in group)


def _merged(group: list[Track]) -> Track:
    merged = Track()
    for track in group:
        merged.frames.extend(track.frames)
        merged.rows.extend(track.rows)
    # A short track may lie in a gap of a long one.
    order = np.argsort(merged.frames)
    merged.rows = array.array("d", merged._table()[order].ravel())
    merged.frames.sort()
    return merged


def spread(track: Track, count: int) -> Int[np.ndarray, "K"]:
    """Frames for identity pictures: the clearest detection of each of `count` equal parts of a track."""
    parts = np.array_split(np.arange(len(track.frames)), min(count, len(track.frames)))
    chosen = [track.frames[part[np.argmax(track.scores[part])]] for part in parts]
    return np.resize(np.array(chosen), count)
