import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from v2s_jax.media import align

numbers = st.floats(-1, 1)


def matrix(scale, angle, x, y):
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[c, -s, x], [s, c, y]])


@settings(max_examples=50, deadline=None)
@given(st.floats(0.1, 10), st.floats(-3, 3), st.floats(-500, 500), st.floats(-500, 500))
def test_similarity_recovers_an_exact_one(scale, angle, x, y):
    true = matrix(scale, angle, x, y)
    found = align.similarity(align.MEAN_FACE, align.apply(true, align.MEAN_FACE))
    np.testing.assert_allclose(found, true, atol=1e-6 * max(1, abs(x), abs(y)))


def test_similarity_is_the_least_squares_one():
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(5, 2)), rng.normal(size=(5, 2))
    best = align.similarity(source, target)
    error = lambda m: ((align.apply(m, source) - target) ** 2).sum()  # noqa: E731
    a, b = best[0, 0], best[1, 0]
    for da, db, dx, dy in rng.normal(scale=1e-3, size=(50, 4)):
        other = np.array([[a + da, -b - db, best[0, 2] + dx], [b + db, a + da, best[1, 2] + dy]])
        assert error(other) > error(best)


@pytest.mark.parametrize("length", [1, 5, 11, 12, 13, 40])
def test_smoothing_looks_forward_and_holds_at_the_end(length):
    points = np.random.default_rng(1).normal(size=(length, 5, 2))
    window = min(12, length)
    smooth = align.smooth(points)
    for t in range(length):
        first = min(t, length - window)
        np.testing.assert_allclose(smooth[t], points[first : first + window].mean(axis=0), atol=1e-12)


def test_missed_frames_are_interpolated_and_edges_copied():
    points = np.full((6, 5, 2), np.nan)
    points[1], points[4] = 3.0, 6.0
    filled = align.interpolate(points)
    np.testing.assert_allclose(filled[:, 0, 0], [3, 3, 4, 5, 6, 6])
    assert not np.isnan(filled).any()


@pytest.mark.parametrize("count", [5, 68])
def test_the_mean_face_is_cut_at_its_mouth(count):
    """On the mean face itself the recipe is a shift: the mouth's centre lands in the middle of the 96 pixels."""
    points = np.zeros((20, count, 2))
    for number, place in zip(align.STABLE if count == 68 else align.FROM_FIVE, align.MEAN_FACE, strict=True):
        points[:, number] = place
    if count == 68:
        points[:, 48:] = align.MEAN_MOUTH + [3.0, -5.0]
    transforms = align.mouth_transforms(points)
    np.testing.assert_allclose(transforms[:, :, :2], np.broadcast_to(np.eye(2), (20, 2, 2)), atol=1e-9)
    corner = [81, 110] if count == 5 else [84, 105]
    np.testing.assert_allclose(transforms[:, :, 2], np.broadcast_to(-np.array(corner), (20, 2)), atol=1e-9)


def test_a_moved_turned_and_scaled_face_gives_the_same_crop():
    move = matrix(0.7, 0.3, 40.0, 25.0)
    points = np.zeros((15, 5, 2))
    for number, place in zip(align.FROM_FIVE, align.MEAN_FACE, strict=True):
        points[:, number] = place
    moved = align.apply(np.broadcast_to(move, (15, 2, 3)), points)
    mouth = align.apply(align.mouth_transforms(moved), align.apply(move, align.MEAN_MOUTH[None]))
    np.testing.assert_allclose(mouth[:, 0], np.broadcast_to(align.MEAN_MOUTH - [81, 110], (15, 2)), atol=1e-9)


def test_the_face_crop_has_the_eyes_where_arcface_wants_them():
    points = np.zeros((5, 2))
    for number, place in zip(align.FROM_FIVE, align.MEAN_FACE, strict=True):
        points[number] = place * 1.7 + 30
    placed = align.apply(align.face_transform(points), align.stable_points(points))
    eyes = np.stack([placed[:2].mean(axis=0), placed[2:4].mean(axis=0)])
    np.testing.assert_allclose(eyes, [[38.29, 51.70], [73.53, 51.50]], atol=2.5)


def test_face_crops_of_any_size_show_the_same():
    """In shares of the crop's side, since pixel centres are half a pixel from its edges."""
    large, small = ((align.face_points(size) + 0.5) / size for size in (112, 48))
    np.testing.assert_allclose(small, large, atol=1e-12)


def test_expression_crops_hold_still_while_landmarks_tremble():
    rng = np.random.default_rng(4)
    points = np.zeros((40, 5, 2))
    points[:, align.FROM_FIVE] = align.MEAN_FACE
    np.testing.assert_allclose(
        align.apply(align.expression_transforms(points), align.MEAN_FACE),
        np.broadcast_to(align.face_points(48), (40, 5, 2)),
        atol=0.3,
    )
    trembling = points + rng.normal(size=points.shape)
    shift = lambda transforms: np.abs(np.diff(transforms[:, :, 2], axis=0)).mean()  # noqa: E731
    alone = np.stack([align.face_transform(frame) for frame in trembling]) * (48 / 112)
    assert shift(align.expression_transforms(trembling)) < 0.3 * shift(alone)


def test_face_and_chip_templates_agree():
    """One similarity carries the face crop's five points to the chip's, to about a pixel of 150."""
    warp = align.similarity(align.face_points(), align.chip_points())
    assert np.abs(align.apply(warp, align.face_points()) - align.chip_points()).max() < 1.5


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5), st.floats(-0.4, 0.4), st.floats(-30, 60), st.floats(-30, 60))
def test_small_crops_show_slopes_where_they_are(block, angle, x, y):
    """Averaging blocks changes nothing of a picture whose brightness is a plane; outside it is black."""
    transform = matrix(1 / block, angle, 0, 0)
    transform[:, 2] = [12, 12] - transform[:, :2] @ [x + 50, y + 40]
    row, column = np.mgrid[:120, :150]
    picture = np.repeat((20 + row + 0.5 * column).astype(np.uint8)[..., None], 3, axis=2)
    crop = align.sample_small(picture, transform, 24, block)
    grid = np.stack(np.meshgrid(np.arange(24), np.arange(24)), -1).reshape(-1, 2)
    px, py = np.linalg.solve(transform[:, :2], (grid - transform[:, 2]).T)
    margin = 2 * block
    inside = (px > margin) & (px < 149 - margin) & (py > margin) & (py < 119 - margin)
    plane = (20 + py + 0.5 * px)[inside]
    assert np.abs(crop.reshape(-1)[inside] - plane).max(initial=0) < 2
    outside = (px < -margin) | (px > 149 + margin) | (py < -margin) | (py > 119 + margin)
    assert not crop.reshape(-1)[outside].any()


def test_small_crops_have_no_aliasing():
    stripes = np.zeros((120, 120, 3), np.uint8)
    stripes[:, ::3] = 255
    transform = matrix(1 / 3, 0.0, -4.2, -4.0)
    sharp, soft = align.grey(align.sample(stripes, transform, 24)), align.sample_small(stripes, transform, 24, 3)
    assert np.abs(soft[2:-2, 2:-2].astype(int) - 85).max() <= 1 < np.abs(sharp[2:-2, 2:-2].astype(int) - 85).max()


@pytest.mark.parametrize("place", [(-500, 0), (500, 500), (0, -500)])
def test_small_crops_beside_the_picture_are_black(place):
    transform = matrix(0.3, 0.0, *place)
    picture = np.full((50, 40, 3), 255, np.uint8)
    assert not align.sample_small(picture, transform, 48, 3).any()


def test_sampling_is_bilinear_and_black_outside():
    picture = np.random.default_rng(2).integers(0, 256, (40, 50, 3)).astype(np.uint8)
    transform = matrix(1.3, 0.4, 5.0, -8.0)
    crop = align.sample(picture, transform, 64)
    grid = np.stack(np.meshgrid(np.arange(64), np.arange(64)), -1).reshape(-1, 2)
    x, y = np.linalg.solve(transform[:, :2], (grid - transform[:, 2]).T)
    for channel in range(3):
        padded = np.pad(picture[..., channel].astype(float), 1)
        expected = ndimage.map_coordinates(padded, [y + 1, x + 1], order=1, cval=0.0).reshape(64, 64)
        np.testing.assert_allclose(crop[..., channel], expected, atol=1e-9)
    assert crop.max() > 0 and (crop == 0).any()


def test_grey_is_opencvs():
    rgb = np.random.default_rng(3).integers(0, 256, (20, 20, 3))
    r, g, b = np.moveaxis(rgb, -1, 0)
    opencv = (r * 4899 + g * 9617 + b * 1868 + 8192) >> 14
    assert np.abs(align.grey(rgb.astype(float)).astype(int) - opencv).max() <= 1
    assert (align.grey(rgb.astype(float)) == opencv).mean() > 0.99
