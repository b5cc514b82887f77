import numpy as np
import pytest

from v2s_jax.errors import V2SError
from v2s_jax.media.degrade import DEGRADATIONS, degrade, parse


def rng():
    return np.random.default_rng(7)


@pytest.fixture(scope="module")
def mouth():
    """Twenty frames of moving waves, all different, without black or white."""
    t, y, x = np.mgrid[:20, :96, :96]
    return (128 + 60 * np.sin(x / 9 + t) + 50 * np.cos(y / 7 - t / 3)).astype(np.uint8)


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_every_way_repeats_itself_and_gets_worse(name, mouth):
    before, most = mouth.copy(), DEGRADATIONS[name].most
    errors = []
    for amount in (0.2 * most, 0.5 * most, 0.9 * most):
        worse = degrade(mouth, f"{name}={amount}", rng())
        assert worse.shape == mouth.shape and worse.dtype == np.uint8
        np.testing.assert_array_equal(worse, degrade(mouth, f"{name}={amount}", rng()))
        errors.append(abs(worse.astype(int) - mouth).mean())
    assert 0 < errors[0] < errors[1] < errors[2]
    np.testing.assert_array_equal(mouth, before)
    assert len(degrade(mouth[:1], f"{name}={most}", rng())) == 1


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_nothing_of_it_changes_nothing(name, mouth):
    np.testing.assert_array_equal(degrade(mouth, f"{name}=0", rng()), mouth)
    if name != "dark":  # whose sensor has noise in any light
        np.testing.assert_array_equal(DEGRADATIONS[name].apply(mouth, 0.0, rng()), mouth)


def test_blur_spreads_a_point_as_a_gaussian():
    point = np.zeros((1, 96, 96), np.uint8)
    point[0, 40, 50] = 255
    soft = degrade(point, "blur=1", rng())[0]
    weights = np.exp(-0.5 * np.arange(-3, 4) ** 2)
    expected = 255 * np.outer(weights, weights) / weights.sum() ** 2
    np.testing.assert_allclose(soft[37:44, 47:54], expected, atol=0.51)
    assert soft.sum() == soft[37:44, 47:54].sum()
    flat = np.full((2, 96, 96), 77, np.uint8)
    np.testing.assert_array_equal(degrade(flat, "blur=5", rng()), flat)


def test_dark_counts_fewer_photons():
    flat = np.full((4, 96, 96), 180, np.uint8)
    half = degrade(flat, "dark=0.5", rng())
    assert half.mean() == pytest.approx(180 * 0.5 ** (1 / 2.2), rel=0.01)  # light goes as the pixel to the power 2.2
    # Of the about 465 electrons that are left the spread is 21.9 with the amplifier's: 4.7 % of the light.
    assert half.std() == pytest.approx(half.mean() * 21.9 / 465 / 2.2, rel=0.05)
    assert degrade(flat, "dark=1", rng()).mean() < 20  # noise alone


def test_occlude_hides_one_square_of_that_area_for_the_whole_clip(mouth):
    hidden = degrade(np.zeros_like(mouth), "occlude=0.25", rng())
    assert (hidden == 128).mean() == 0.25 and (hidden[0] == hidden).all()
    rows = np.flatnonzero(hidden[0].any(1))
    assert len(rows) == 48 == rows[-1] - rows[0] + 1
    others = [degrade(mouth, "occlude=0.25", np.random.default_rng(seed)) for seed in (7, 8)]
    assert (others[0] != others[1]).any()
    assert (degrade(mouth, "occlude=1", rng()) == 128).all()


def test_drop_shows_the_frame_before(mouth):
    shown = degrade(mouth, "drop=0.4", rng())
    kept = np.array([(frame == before).all() for frame, before in zip(shown, mouth, strict=True)])
    assert kept.sum() == 12 and kept[0]
    for index in np.flatnonzero(~kept):
        np.testing.assert_array_equal(shown[index], shown[index - 1])
    assert (degrade(mouth, "drop=1", rng()) == mouth[0]).all()


def test_compression_keeps_the_range_of_greys(mouth):
    errors = degrade(mouth, "compress=23", rng()).astype(int) - mouth
    assert abs(errors.mean()) < 0.5 and abs(errors).mean() < 4


def test_several_ways_one_after_another(mouth):
    assert parse("dark=0.9+drop=0.25") == [("dark", 0.9), ("drop", 0.25)] and parse("") == []
    both, one = rng(), rng()
    expected = degrade(degrade(mouth, "occlude=0.1", one), "drop=0.5", one)
    np.testing.assert_array_equal(degrade(mouth, "occlude=0.1+drop=0.5", both), expected)


@pytest.mark.parametrize(
    "text, message",
    [
        ("fog=1", "'fog=1' is no way to degrade video: expected NAME=AMOUNT of blur, dark"),
        ("blur", "'blur' is no way"),
        ("blur=2+", "'' is no way"),
        ("blur=-1", "'blur=-1' is no way to degrade video: expected 0 to 32 for blur"),
        ("drop=1.5", "'drop=1.5' is no way to degrade video: expected 0 to 1 for drop .share of the frames"),
        ("dark=nan", "expected 0 to 1"),
        ("compress=much", "expected 0 to 51"),
    ],
)
def test_misuse_is_one_sentence(text, message, mouth):
    with pytest.raises(V2SError, match=message):
        degrade(mouth, text, rng())
