import numpy as np
import pytest

from v2s_jax.errors import V2SError
from v2s_jax.features.kmeans import batches, distances, fit

CENTRES = np.array([[0, 0], [10, 0], [0, 10], [-10, -10], [30, 30]], np.float32)


def stream(parts=40, size=50, seed=0):
    """Parts of different lengths around the five centres, a tenth wide."""
    rng = np.random.default_rng(seed)
    for number in range(parts):
        chosen = CENTRES[rng.integers(0, 5, size + number % 7)]
        yield (chosen + rng.normal(0, 0.1, chosen.shape)).astype(np.float32)


@pytest.mark.parametrize("pool", [100, 2])  # all held at once, and most of it seen in passing
def test_separate_blobs_are_found(pool):
    found = fit(stream(), 5, batch=300, pool=pool)
    assert found.centroids.dtype == np.float32 and found.frames == sum(map(len, stream()))
    assert found.inertia == pytest.approx(2 * 0.1**2, rel=0.15)
    nearest = distances(CENTRES, found.centroids)
    assert sorted(nearest.argmin(1)) == [0, 1, 2, 3, 4] and nearest.min(1).max() < 0.02**2


def test_the_seed_decides():
    rng = np.random.default_rng(0)
    noise = [rng.normal(size=(300, 3)).astype(np.float32) for _ in range(4)]
    one, same, other = (fit(noise, 8, seed, batch=200, pool=3).centroids for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert abs(one - other).max() > 0.01


def test_centroids_see_what_comes_after_the_pool():
    # The second blob moves once the pool is full: its centroid becomes the mean of where it was and is.
    def parts():
        for where in (10, 12):
            for _ in range(4):
                yield np.tile(np.array([[0.0], [where]], np.float32), (50, 1))

    assert np.sort(fit(parts(), 2, batch=100, pool=2).centroids.ravel()) == pytest.approx([0, 11], abs=1e-4)


def test_batches_are_the_same_frames():
    parts = [np.full((n, 1), n, np.float64) for n in (3, 0, 5, 1, 4)]
    found = list(batches(parts, 4))
    assert [len(part) for part in found] == [4, 4, 4, 1] and found[0].dtype == np.float32
    np.testing.assert_array_equal(np.concatenate(found), np.concatenate(parts))
    assert list(batches([], 4)) == []


def test_distances_by_hand():
    np.testing.assert_allclose(distances(np.array([[1.0, 2.0]]), np.array([[1.0, 0.0], [4.0, 6.0]])), [[4, 25]])


def test_too_few_frames_are_a_sentence():
    with pytest.raises(V2SError, match="2 frames cannot make 3 clusters"):
        fit([np.zeros((2, 4), np.float32)], 3)
    with pytest.raises(V2SError, match="0 frames"):
        fit([], 3)
