import numpy as np

from v2s_jax.synthesis import scratch


def test_much_goes_to_a_file_without_a_name(tmp_path, monkeypatch):
    monkeypatch.setattr(scratch, "LARGE", 1000)
    with scratch.kept_in(tmp_path):
        little, much = scratch.empty((10, 10), np.uint8), scratch.empty((1000, 3), np.float32)
    much[:] = 2
    assert little.base is None and much.base is not None and much.shape == (1000, 3)
    assert float(much.sum()) == 6000 and not list(tmp_path.iterdir())


def test_a_file_changes_hands_and_loses_its_name(tmp_path):
    array = scratch.new_file(tmp_path / "crops.npy", (4, 3), np.uint8)
    array[:] = np.arange(12).reshape(4, 3)
    del array
    np.testing.assert_array_equal(scratch.adopt(tmp_path / "crops.npy"), np.arange(12).reshape(4, 3))
    assert not list(tmp_path.iterdir())


def test_blocks_are_as_the_whole(monkeypatch):
    array = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32)
    monkeypatch.setattr(scratch, "_BLOCK", 20)
    np.testing.assert_array_equal(scratch.blockwise(np.abs, array), abs(array))
