"""How far a network's log-mel in bfloat16 is from that in float32, README's bounds; a batch changes nothing."""

import numpy as np
import pytest

from v2s_jax.errors import V2SError
from v2s_jax.media.clip import load_clip
from v2s_jax.synthesis.batches import in_order
from v2s_jax.synthesis.synthesizer import Synthesizer

MEAN, MOST = 0.02, 0.2  # of a natural logarithm: 0.2 and 1.7 dB


@pytest.fixture(scope="module")
def mels(talker_clip):
    """Log-mels of a clip and a part of it by the shipped model: of a precision, so many at once."""
    clip = load_clip(talker_clip, audio=False)

    def made(precision, rows):
        synthesizer = Synthesizer.from_pretrained("talker-svts", rows, precision=precision)
        found = synthesizer.made(enumerate(two(synthesizer, clip)))
        return np.concatenate([one.rows for one in in_order(found, 2)])

    return {(precision, rows): made(precision, rows) for precision in ("float32", "bfloat16") for rows in (1, 2)}


def two(synthesizer, clip):
    """A clip and a part of it."""
    face, name = synthesizer.look(clip)
    return [(face, name), (face.cut(0, 60), name)]


def test_neither_batch_nor_order_change_a_bit_of_a_waveform(talker_clip):
    clip = load_clip(talker_clip, audio=False)

    def spoken(rows, backwards):
        synthesizer = Synthesizer.from_pretrained("talker-svts", rows)
        looks = two(synthesizer, clip)[:: -1 if backwards else 1]
        found = in_order(synthesizer.sounded(synthesizer.made(enumerate(looks))), 2)
        return np.concatenate([one.waveform for one in found[:: -1 if backwards else 1]])

    np.testing.assert_array_equal(spoken(1, False), spoken(3, True))


@pytest.mark.parametrize("other", [("float32", 1), ("bfloat16", 2)])
def test_what_bfloat16_computes_is_within_the_stated_bounds(mels, other):
    differences = abs(mels["bfloat16", 1] - mels[other])
    assert mels["bfloat16", 1].dtype == np.float32
    assert differences.mean() < MEAN and differences.max() < MOST
    assert other == ("bfloat16", 2) or differences.max() > 1e-4  # it was computed in bfloat16


def test_other_precisions_are_refused_and_each_has_a_fingerprint(model):
    single, half = (Synthesizer.from_pretrained(model, precision=name) for name in ("float32", "bfloat16"))
    assert single.fingerprint() != half.fingerprint()
    with pytest.raises(V2SError, match="precision.compute is 'float16'; known are float32, bfloat16"):
        Synthesizer.from_pretrained(model, precision="float16")
