import numpy as np

from v2s_jax.evaluation.room import without_room


def test_quiet_frames_give_way_to_their_mean_and_loud_ones_stay():
    rng = np.random.default_rng(0)
    mel = rng.normal(-1, 0.2, (60, 80)).astype(np.float32)
    mel[20:40] -= 6  # 52 dB
    found = without_room(mel, 40.0)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[:20], mel[:20])
    np.testing.assert_array_equal(found[40:], mel[40:])
    np.testing.assert_allclose(np.exp(found[20:40]), np.exp(mel[20:40]).mean(0)[None].repeat(20, 0), rtol=1e-5)


def test_where_nothing_is_quiet_all_stays():
    mel = np.full((30, 80), -2, np.float32)
    np.testing.assert_array_equal(without_room(mel, 40.0), mel)
