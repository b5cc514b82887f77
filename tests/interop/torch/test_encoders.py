"""AV-HuBERT and HuBERT beside PyTorch, layer by layer, with weights in which a swapped pair shows."""

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx
from ml_collections import ConfigDict

from tests.interop.twins import copy_into, every_layer, randomize
from v2s_jax.interop.tables import avhubert as avhubert_table
from v2s_jax.interop.tables import hubert as hubert_table
from v2s_jax.interop.torch import avhubert as avhubert_twin
from v2s_jax.interop.torch import hubert as hubert_twin
from v2s_jax.models import avhubert, hubert
from v2s_jax.models.rngs import Rngs

RNG = np.random.default_rng(5)
SMALL = dict(layers=3, width=24, hidden=40, heads=3, conv_pos=8, conv_pos_groups=4)
# fmt: off
AVHUBERTS = {
    "as released": dict(resnet=(3, 4, 5, 6), final_proj=True, final_dim=8, num_classes=5),
    "post-norm": dict(resnet=(3, 4, 5, 6), norm_first=False, fusion="add", activation="relu", masking="feature"),
    "odd kernel": dict(resnet=(3, 4), conv_pos=5, masking="none", audio_dim=26, num_classes=5),
}
HUBERTS = {
    "base": dict(convs=((8, 10, 5), (8, 3, 2), (12, 2, 2)), mask_emb=True),
    "large": dict(convs=((8, 10, 5), (8, 3, 2), (12, 2, 2)), conv_norm="layer", conv_bias=True, norm_first=True),
    "between": dict(convs=((8, 10, 5), (24, 3, 2)), conv_norm="layer", feature_norm=False, feature_proj=False),
}
# fmt: on


def avhubert_pair(changes):
    config = ConfigDict(avhubert.default_config().to_dict() | SMALL | changes)
    theirs = randomize(avhubert_twin.AVHuBERT(config.to_dict()))
    ours = nnx.eval_shape(lambda: avhubert.AVHuBERT(config, rngs=Rngs(0)))
    return theirs, copy_into(ours, theirs, avhubert_table.entries(config.to_dict()))


def hubert_pair(changes):
    config = ConfigDict(hubert.default_config().to_dict() | SMALL | changes)
    theirs = randomize(hubert_twin.HuBERT(config.to_dict()))
    ours = nnx.eval_shape(lambda: hubert.HuBERT(config, rngs=Rngs(0)))
    return theirs, copy_into(ours, theirs, hubert_table.entries(config.to_dict()))


def theirs_at(theirs, layers, valid, **inputs):
    tensors = {name: None if value is None else torch.tensor(value) for name, value in inputs.items()}
    with torch.inference_mode():
        return [theirs(**tensors, layer=layer).numpy()[valid] for layer in layers]


@pytest.mark.parametrize("name", AVHUBERTS)
def test_every_layer_of_avhubert_is_that_of_pytorch(name):
    theirs, ours = avhubert_pair(AVHUBERTS[name])
    video = RNG.normal(size=(2, 6, 32, 32, 1)).astype(np.float32)
    audio = RNG.normal(size=(2, 6, ours.config.audio_dim)).astype(np.float32)
    padding = np.arange(6)[None] >= np.array([[6], [4]])
    for inputs in (dict(video=video), dict(audio=audio), dict(video=video, audio=audio)):
        expected = theirs_at(theirs, (1, 2, 3, None), ~padding, **inputs, padding_mask=padding)
        for own, wanted in zip(every_layer(ours, **inputs, padding_mask=padding), expected, strict=True):
            np.testing.assert_allclose(own[~padding], wanted, atol=1e-5)


@pytest.mark.parametrize("name", HUBERTS)
def test_every_layer_of_hubert_is_that_of_pytorch(name):
    theirs, ours = hubert_pair(HUBERTS[name])
    waveform = RNG.normal(size=(2, 500)).astype(np.float32)
    padding = np.arange(500)[None] >= np.array([[500], [377]])
    valid = ~np.asarray(ours.frame_padding(jnp.asarray(padding)))
    waveform[padding] = 0
    for mask in (None, padding):
        where = valid if mask is not None else np.ones_like(valid)
        expected = theirs_at(theirs, (1, 2, 3, None), where, waveform=waveform, padding_mask=mask)
        for own, wanted in zip(every_layer(ours, waveform=waveform, padding_mask=mask), expected, strict=True):
            np.testing.assert_allclose(own[where], wanted, atol=1e-5)


BASE = dict(layers=2, width=768, hidden=3072, heads=12, conv_pos=128, conv_pos_groups=16)


@pytest.mark.slow
def test_the_widths_of_base_agree_as_well():
    theirs, ours = avhubert_pair(BASE)
    video = RNG.normal(size=(1, 4, 88, 88, 1)).astype(np.float32)
    audio = RNG.normal(size=(1, 4, 104)).astype(np.float32)
    inputs = dict(video=video, audio=audio)
    expected = theirs_at(theirs, (1, 2, None), np.ones((1, 4), bool), **inputs)
    np.testing.assert_allclose([x[0] for x in every_layer(ours, **inputs)], expected, atol=3e-5)
    theirs, ours = hubert_pair(BASE)
    waveform = RNG.normal(size=(1, 3000)).astype(np.float32)
    expected = theirs_at(theirs, (1, 2, None), np.ones((1, 9), bool), waveform=waveform)
    np.testing.assert_allclose([x[0] for x in every_layer(ours, waveform=waveform)], expected, atol=3e-5)


def test_pytorch_has_something_to_encode():
    theirs, _ = avhubert_pair(AVHUBERTS["odd kernel"])
    with pytest.raises(ValueError, match="nothing to encode"):
        theirs()
