import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tests.compiled import run
from tests.small_vocoder import filled
from v2s_jax.constants import LOG_FLOOR
from v2s_jax.data.batch import Batch
from v2s_jax.errors import V2SError
from v2s_jax.models.rngs import Rngs
from v2s_jax.systems import svts
from v2s_jax.systems.registry import build


def small_config(**changes):
    config = svts.default_config("tiny")
    config.update(dict(resnet=(2, 4), blocks=1, width=8, heads=2, hidden=16, kernel_size=3) | changes)
    return config


def evaluated(**changes):
    system = filled(lambda: build(small_config(**changes), Rngs(0)))
    return nnx.view(system, deterministic=True, use_running_average=True)


def batch(frames: int = 4, lengths: tuple[int, ...] = (4, 2), **fields) -> Batch:
    rng = np.random.default_rng(0)
    valid = np.arange(frames)[None] < np.array(lengths)[:, None]
    mouth = rng.integers(0, 255, (len(lengths), frames, 88, 88), dtype=np.uint8) * valid[:, :, None, None]
    audio = 0.1 * rng.normal(size=(len(lengths), 640 * frames)) * np.repeat(valid, 640, 1)
    made = Batch(np.array(lengths, np.int32), mouth.astype(np.uint8), audio.astype(np.float32), **fields)
    return jax.tree.map(jnp.asarray, made)


@pytest.mark.parametrize("size, millions", [("S", 27.3), ("M", 43.1), ("L", 87.6)])
def test_sizes_have_the_published_numbers_of_parameters(size, millions):
    system = nnx.eval_shape(lambda: build(svts.default_config(size), Rngs(0)))
    count = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(system, nnx.Param)))
    assert count / 1e6 == pytest.approx(millions, rel=0.02)


def test_synthesis_of_a_padded_clip_equals_that_of_the_clip_alone():
    system = evaluated()
    both = batch()
    mel = run(system, both, method="synthesize")
    alone = run(system, Batch(jnp.array([2]), both.mouth[1:, :2]), method="synthesize")
    assert mel.shape == (2, 16, 80)
    np.testing.assert_allclose(mel[1, :8], alone[0], atol=1e-4)
    np.testing.assert_allclose(mel[1, 8:], LOG_FLOOR)


def test_text_may_teach_the_features():
    system = evaluated(ctc_weight=0.1)
    assert "characters" in system.fields
    both = batch(characters=np.array([[3, 4, 0, 0], [0, 0, 0, 0]], np.int32))
    loss, metrics = run(system, both, method="loss", seed=0)
    assert float(loss) == pytest.approx(
        float(metrics["l1"] + metrics["spectral_convergence"] + 0.1 * metrics["ctc"]), rel=1e-5
    )
    assert float(metrics["ctc"]) > 0


def test_only_the_crop_is_seen():
    system = evaluated(crop=56)
    both = batch()
    darkened = dataclasses.replace(both, mouth=both.mouth.at[:, :, :16].set(0).at[:, :, -16:].set(0))
    np.testing.assert_array_equal(run(system, both, method="synthesize"), run(system, darkened, method="synthesize"))
    nearer = dataclasses.replace(both, mouth=both.mouth.at[:, :, 16].set(0))
    assert np.abs(run(system, both, method="synthesize") - run(system, nearer, method="synthesize")).max() > 1e-4
    with pytest.raises(ValueError, match="system.crop is 90"):
        build(small_config(crop=90), Rngs(0))


def test_loss_ignores_padding_and_an_empty_row():
    system = evaluated()
    both = batch(lengths=(4, 0))
    padded, metrics = run(system, both, method="loss", seed=0)
    loss, _ = run(system, jax.tree.map(lambda x: x[:1], both), method="loss", seed=0)
    assert set(metrics) == {"l1", "spectral_convergence"}
    assert float(padded) == pytest.approx(float(loss), rel=1e-5)


def test_speaker_embedding_changes_the_speech_and_is_asked_for():
    system = evaluated(speaker_embedding=True)
    assert "speaker_embedding" in system.fields
    speakers = (batch(speaker_embedding=np.eye(2, 256, k, dtype=np.float32)) for k in (0, 5))
    one, other = (run(system, clips, method="synthesize") for clips in speakers)
    assert abs(one - other).max() > 1e-3


@pytest.mark.slow
def test_one_batch_is_learnt():
    system = filled(lambda: build(small_config(dropout=0.0, resnet=(4, 8), width=32), Rngs(0)))
    graphdef, params, stats = nnx.split(system, nnx.Param, ...)
    data = batch()

    @jax.jit
    def step(params, momentum, stats):
        def loss_fn(params):
            model = nnx.merge(graphdef, params, stats, copy=True)
            return model.loss(data, Rngs(dropout=0))[0]

        loss, gradients = jax.value_and_grad(loss_fn)(params)
        momentum = jax.tree.map(lambda m, g: 0.9 * m + g, momentum, gradients)
        return jax.tree.map(lambda p, m: p - 0.01 * m, params, momentum), momentum, loss

    momentum, losses = jax.tree.map(jnp.zeros_like, params), []
    for _ in range(60):
        params, momentum, loss = step(params, momentum, stats)
        losses.append(float(loss))
    assert losses[-1] < 0.5 * losses[0]


def test_an_unknown_system_is_named():
    config = small_config()
    config.name = "lip2wav"
    with pytest.raises(V2SError, match="'lip2wav': expected one of svts"):
        build(config, Rngs(0))
