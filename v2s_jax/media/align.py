"""AV-HuBERT's mouth crop, an ArcFace-like face crop and dlib's chip: each by one similarity transform of landmarks.

The recipe (github.com/facebookresearch/av_hubert, preparation/align_mouth.py): landmarks averaged over 12 frames, a
similarity transform of five stable points to the mean face of 20 words in a 256x256 frame, a bilinear warp, and a cut
of 96x96 at the mouth. The five points are the corners of the eyes and the base of the nose, which is what dlib's
5-point model gives; the cut is then at the mouth of the mean face. With 68 points it is at the frame's own mouth, as
published.
"""

import numpy as np
from jaxtyping import Float, UInt8

from v2s_jax.constants import EXPRESSION_SIZE, FACE_SIZE, MOUTH_SIZE

# iBUG numbers of the five stable points, and where the mean face has them (x, y in its 256x256 frame).
STABLE = (36, 39, 42, 45, 33)
MEAN_FACE = np.array([[92.52, 94.37], [112.77, 94.94], [145.53, 94.53], [166.68, 93.57], [128.87, 137.30]])
MEAN_MOUTH = np.array([129.31, 157.82])  # mean of points 48-67
MEAN_FRAME = 256  # pixels
WINDOW = 12  # frames that landmarks are averaged over

# dlib's 5 points are: on the right of the picture the outer and the inner corner of the eye, on the left the outer and
# the inner, and the base of the nose.
FROM_FIVE = (2, 3, 1, 0, 4)

# ArcFace's 112x112 template (github.com/deepinsight/insightface, arcface_torch): centres of the eyes, corners of the
# mouth. Our five points lack the corners of the mouth, but the mean face has them (points 48 and 54), so the template
# is carried over by the similarity that takes the mean face to it.
_ARCFACE = np.array([[38.2946, 51.6963], [73.5318, 51.5014], [41.5493, 92.3655], [70.7299, 92.2041]])
_MEAN_EYES_AND_MOUTH = np.array([[102.645, 94.655], [156.105, 94.05], [107.17, 157.20], [152.19, 156.99]])
_ARCFACE_SIZE = 112  # pixels

# Where dlib's face chips have the five points (x, y as shares of the chip, with its padding of 0.25 taken in), in the
# order of `STABLE` (dlib, image_transforms/interpolation.h, get_face_chip_details).
_CHIP_POINTS = np.array(
    [
        [0.1205750620789, 0.2137274526848],
        [0.3340850613712, 0.2290642403242],
        [0.6460604764104, 0.2289674387677],
        [0.8595674595992, 0.2134981538014],
        [0.4901123135679, 0.6277975316475],
    ]
)
_CHIP_PADDING = 0.25
CHIP_SIZE = 150  # pixels, what dlib's identity network reads


def similarity(source: Float[np.ndarray, "*B P 2"], target: Float[np.ndarray, "P 2"]) -> Float[np.ndarray, "*B 2 3"]:
    """Least-squares similarity transforms (scale, rotation, shift) of points onto target points.

    In complex numbers the transform is z -> a z + b, and the least-squares a is the regression of centred points
    (Umeyama 1991, in two dimensions and without reflection).

    Args:
        source: points (x, y) of each frame.
        target: where they belong.

    Returns:
        Matrices M with target ~ M[:, :2] @ point + M[:, 2].
    """
    z = source[..., 0] + 1j * source[..., 1]
    w = target[:, 0] + 1j * target[:, 1]
    centre, goal = z.mean(-1, keepdims=True), w.mean()
    spread = np.maximum((np.abs(z - centre) ** 2).sum(-1), 1e-12)
    a = ((z - centre).conj() * (w - goal)).sum(-1) / spread
    b = goal - a * centre[..., 0]
    rows = [[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]]
    return np.stack([np.stack(row, -1) for row in rows], -2)


def smooth(points: Float[np.ndarray, "T P 2"], window: int = WINDOW) -> Float[np.ndarray, "T P 2"]:
    """Forward moving mean: frame t is the mean of t .. t+window-1; the last frames repeat the last full mean."""
    length = len(points)
    window = min(window, length)
    total = np.cumsum(np.concatenate([np.zeros_like(points[:1]), points]), axis=0)
    means = (total[window:] - total[:-window]) / window
    return means[np.minimum(np.arange(length), length - window)]


def interpolate(points: Float[np.ndarray, "T P 2"]) -> Float[np.ndarray, "T P 2"]:
    """Fills frames of NaN linearly between their neighbours; before the first and after the last it copies."""
    seen = np.flatnonzero(~np.isnan(points[:, 0, 0]))
    flat = points.reshape(len(points), -1)
    frames = np.arange(len(points))
    filled = np.stack([np.interp(frames, seen, column[seen]) for column in flat.T], axis=-1)
    return filled.reshape(points.shape)


def stable_points(landmarks: Float[np.ndarray, "*B P 2"]) -> Float[np.ndarray, "*B 5 2"]:
    """The five points of the recipe, in the order of `STABLE`, from 5 or 68 landmarks."""
    return landmarks[..., FROM_FIVE if landmarks.shape[-2] == 5 else STABLE, :]


def mouth_transforms(landmarks: Float[np.ndarray, "T P 2"]) -> Float[np.ndarray, "T 2 3"]:
    """The transform of each frame into the 96x96 mouth crop.

    Args:
        landmarks: x, y in pixels of 5 or 68 points, without gaps.

    Returns:
        Matrices from picture to crop coordinates (pixel centres at whole numbers).
    """
    transforms = similarity(smooth(stable_points(landmarks)), MEAN_FACE)
    centre = np.broadcast_to(MEAN_MOUTH, (len(landmarks), 2))
    if landmarks.shape[1] == 68:
        centre = apply(transforms, landmarks[:, 48:68]).mean(axis=1)
    half = MOUTH_SIZE // 2
    # The cut is at whole pixels and stays inside the mean face's frame.
    corner = np.clip(np.round(centre), half, MEAN_FRAME - half) - half
    transforms[:, :, 2] -= corner
    return transforms


def face_points(size: int = FACE_SIZE) -> Float[np.ndarray, "5 2"]:
    """Where a face crop of `size` pixels has the five points of `STABLE`."""
    points = apply(similarity(_MEAN_EYES_AND_MOUTH, _ARCFACE), MEAN_FACE)
    return (points + 0.5) * (size / _ARCFACE_SIZE) - 0.5


def chip_points(size: int = CHIP_SIZE) -> Float[np.ndarray, "5 2"]:
    """Where a chip of dlib's of `size` pixels has them."""
    return (_CHIP_POINTS + _CHIP_PADDING) / (1 + 2 * _CHIP_PADDING) * size


def face_transform(landmarks: Float[np.ndarray, "P 2"]) -> Float[np.ndarray, "2 3"]:
    """The transform of one frame into the 112x112 face crop."""
    return similarity(stable_points(landmarks), face_points())


def expression_transforms(landmarks: Float[np.ndarray, "T P 2"]) -> Float[np.ndarray, "T 2 3"]:
    """The transform of each frame into the 48x48 expression crop: the face crop, small and as steady as the mouth's.

    Args:
        landmarks: x, y in pixels of 5 or 68 points, without gaps.
    """
    return similarity(smooth(stable_points(landmarks)), face_points(EXPRESSION_SIZE))


def apply(transform: Float[np.ndarray, "*B 2 3"], points: Float[np.ndarray, "*C P 2"]) -> Float[np.ndarray, "*D P 2"]:
    """Points moved by transforms (leading axes broadcast)."""
    return points @ np.swapaxes(transform[..., :2], -1, -2) + transform[..., None, :, 2]


def sample(
    picture: UInt8[np.ndarray, "H W C"], transform: Float[np.ndarray, "2 3"], size: int
) -> Float[np.ndarray, "size size C"]:
    """Cuts a square out of a picture by inverse bilinear mapping; black outside the picture.

    Args:
        picture: the source.
        transform: from picture to crop coordinates.
        size: pixels of a side.

    Returns:
        Values in [0, 255], not rounded.
    """
    height, width, channels = picture.shape
    inverse = np.linalg.inv(transform[:, :2])
    grid = np.stack(np.meshgrid(np.arange(size), np.arange(size)), -1).reshape(-1, 2)
    x, y = ((grid - transform[:, 2]) @ inverse.T).T
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    fx, fy = (x - left)[:, None], (y - top)[:, None]
    flat = picture.reshape(-1, channels)

    def corner(row: np.ndarray, column: np.ndarray) -> np.ndarray:
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        return flat[np.where(inside, row * width + column, 0)] * inside[:, None]

    upper = corner(top, left) * (1 - fx) + corner(top, left + 1) * fx
    lower = corner(top + 1, left) * (1 - fx) + corner(top + 1, left + 1) * fx
    return (upper * (1 - fy) + lower * fy).reshape(size, size, channels)


def grey(rgb: Float[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H W"]:
    """Luma by ITU-R BT.601 (0.299, 0.587, 0.114), as OpenCV's BGR2GRAY."""
    return np.round(rgb @ np.array([0.299, 0.587, 0.114])).clip(0, 255).astype(np.uint8)


def pixels_covered(transforms: Float[np.ndarray, "T 2 3"]) -> float:
    """How many pixels of the picture one of the crop's covers each way, in most frames."""
    return float(np.median(1 / np.sqrt(np.linalg.det(transforms[:, :, :2]))))


def sample_small(
    picture: UInt8[np.ndarray, "H W 3"], transform: Float[np.ndarray, "2 3"], size: int, block: int
) -> UInt8[np.ndarray, "size size"]:
    """Like `sample`, in grey, for crops much smaller than what they show: blocks of pixels are averaged first.

    Args:
        picture: the source.
        transform: from picture to crop coordinates.
        size: pixels of a side.
        block: pixels each way that are averaged, against aliasing; the same in all frames, or their sharpness flickers.
    """
    small, moved = _shrunk(picture, transform, size, block)
    return np.round(sample(grey(small)[..., None], moved, size)[..., 0]).astype(np.uint8)


def _shrunk(picture: np.ndarray, transform: np.ndarray, size: int, block: int) -> tuple[np.ndarray, np.ndarray]:
    """The blocks that the crop shows, averaged, and the transform from their picture to the crop."""
    linear, shift = transform[:, :2], transform[:, 2]
    most = np.array(picture.shape[1::-1]) // block  # blocks; what is left of one at the edge is not used
    corners = np.array([[-1, -1], [size, -1], [-1, size], [size, size]])
    reach = (corners - shift) @ np.linalg.inv(linear).T / block
    first = np.clip(np.floor(reach.min(0)), 0, most - 1).astype(int)
    last = np.clip(np.ceil(reach.max(0)) + 1, first + 1, most).astype(int)
    (left, top), (right, bottom) = first * block, last * block
    part = picture[top:bottom, left:right].reshape(-1, block, right - left, 3)
    rows = part.sum(1, dtype=np.uint32)  # first, since the columns' sums take far longer
    total = np.sum([rows[:, x::block] for x in range(block)], axis=0)
    # The centre of block i is at pixel block * (first + i) + (block - 1) / 2.
    centre = first * block + (block - 1) / 2
    return total / block**2, np.column_stack([linear * block, linear @ centre + shift])
