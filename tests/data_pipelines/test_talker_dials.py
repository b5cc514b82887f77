"""What each dial does to the picture, and what it leaves as it was."""

import itertools

import numpy as np
import pytest

from data_pipelines.talker.dials import DIALS, dialled
from data_pipelines.talker.face import Puppet
from data_pipelines.talker.generate import generate, plan
from data_pipelines.talker.head import CANVAS
from data_pipelines.talker.identities import identity
from data_pipelines.talker.render import perform
from data_pipelines.talker.scene import Scene
from data_pipelines.talker.turning import Turning
from v2s_jax.errors import V2SError
from v2s_jax.media.dlib_models import hog_detector

STILL = Scene(sway=0.0, roll=0.0, zoom=0.0, blinks=1e-6, noise=0.0)
WHO = identity(8)


def frame(dials, at=20, scene=STILL):
    return next(itertools.islice(perform(8, "lgwp9s", scene=scene, dials=dials).frames, at, None)).astype(int)


@pytest.fixture(scope="module")
def plain():
    return frame("")


def within(rows, columns):
    """Rows and columns of the picture, of face units."""
    x, y = STILL.centre
    return tuple(
        slice(round(middle + STILL.scale * low), round(middle + STILL.scale * high))
        for middle, (low, high) in ((y, rows), (x, columns))
    )


FACE = within((-30, WHO.chin - 8), (-35, 35))


def test_nothing_is_turned_at_0_or_without_a_word(plain):
    assert dialled(STILL, "") == STILL == dialled(STILL, "+".join(f"{name}=0" for name in DIALS))
    np.testing.assert_array_equal(frame("turn=0+dark=0"), plain)


def test_the_sentence_and_its_moments_stay_the_same():
    one, other = (perform(8, "lgwp9s", seed=3, dials=dials) for dials in ("", "turn=20+covered=1+clutter=1"))
    np.testing.assert_array_equal(one.track, other.track)
    np.testing.assert_array_equal(one.utterance.wave, other.utterance.wave)


def test_in_the_dark_the_signal_falls_and_the_noise_stays(plain):
    dark = frame("dark=0.9")
    assert 0.1 ** (1 / 2.2) * plain.mean() == pytest.approx(dark.mean(), rel=0.02)
    noisy = Scene(sway=0.0, roll=0.0, zoom=0.0, blinks=1e-6, noise=4.0)
    assert (frame("dark=0.9", scene=noisy) - dark).std() == pytest.approx(4, rel=0.1)


def test_a_lamp_at_the_side_lights_one_half(plain):
    left, right = within((0, 40), (-35, -10)), within((0, 40), (10, 35))
    lit = frame("side=90")
    assert lit[left].mean() < 0.1 * plain[left].mean() and lit[right].mean() > 0.25 * plain[right].mean()


def test_what_is_behind_moves_and_the_face_does_not_change(plain):
    busy = frame("clutter=1")
    np.testing.assert_array_equal(busy[FACE], plain[FACE])
    corner = busy[:60, :80]
    assert corner.std(axis=(0, 1)).min() > 5 * plain[:60, :80].std(axis=(0, 1)).max()
    assert np.abs(frame("clutter=1", at=40)[:60, :80] - corner).mean() > 5


@pytest.mark.parametrize("degrees", [-30, 30])
def test_a_turned_nose_goes_to_that_side_and_further_than_the_eyes(degrees):
    x, y = CANVAS.grid()
    turning = Turning(WHO, degrees)

    def place(at):
        mark = np.exp(-(((x - at[0]) / 2) ** 2) - ((y - at[1]) / 2) ** 2)[..., None]
        seen = turning(mark)[..., 0]
        return float((seen * x).sum() / seen.sum())

    nose, brow = place((0, WHO.nose_length - 5)), place((0, -WHO.brow_height))
    assert np.sign(nose) == np.sign(degrees) and abs(nose) > abs(brow) + 3
    assert abs(place((-WHO.eye_distance, 0)) + place((WHO.eye_distance, 0))) > 20


def test_turned_to_either_side_is_the_same_in_a_mirror():
    picture = np.random.default_rng(0).random((CANVAS.height, CANVAS.width, 4), np.float32)
    right, left = (Turning(WHO, degrees)(picture[:, ::step]) for degrees, step in ((25, 1), (-25, -1)))
    np.testing.assert_allclose(right, left[:, ::-1], atol=1e-4)


def test_a_turned_head_is_found(plain):
    for degrees in (15, 30):
        boxes, scores, _ = hog_detector().run(frame(f"turn={degrees}").astype(np.uint8), 0, -0.4)
        assert scores and scores[0] > 0


def test_a_cloth_hides_the_mouth_and_what_it_says(plain):
    mouth = within((WHO.mouth_y - 8, WHO.mouth_y + 8), (-20, 20))
    assert np.abs(plain[mouth] - frame("", at=30)[mouth]).mean() > 3
    masked = frame("covered=0.9")
    assert np.abs(masked[mouth] - frame("covered=0.9", at=30)[mouth]).mean() < 1
    eyes = within((-8, 8), (-35, 35))
    np.testing.assert_array_equal(masked[eyes], plain[eyes])


def test_what_is_beside_hides_one_side_alone(plain):
    half = frame("beside=0.5")
    left, right = within((-20, 60), (-40, -5)), within((-20, 60), (5, 40))
    assert half[left].std(axis=(0, 1)).max() < 6
    np.testing.assert_array_equal(half[right], plain[right])


def test_dials_combine():
    puppet = Puppet(WHO, dialled(Scene(), "turn=20+covered=1+beside=0.2+side=40"))
    assert puppet is not None and np.isfinite(frame("turn=20+covered=1+beside=0.2+side=40+dark=0.5+clutter=1")).all()


def test_unknown_dials_are_refused_before_anything_is_drawn(tmp_path):
    with pytest.raises(V2SError, match="'fog=1' is no dial of a scene: expected NAME=AMOUNT of dark, side"):
        generate(tmp_path / "clips", identities=(0,), clips_per_identity=1, dials="fog=1", workers=0)
    with pytest.raises(V2SError, match=r"expected 0 to 60 for turn \(degrees that the head is turned\)"):
        generate(tmp_path / "clips", identities=(0,), clips_per_identity=1, dials="turn=90", workers=0)
    assert not (tmp_path / "clips").exists()
    assert [job.dials for job in plan(tmp_path, (0,), 2, 0, 0.0, "turn=30")] == ["turn=30"] * 2
