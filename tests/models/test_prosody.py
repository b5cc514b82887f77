import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from ml_collections import ConfigDict

from tests.compiled import run
from tests.small_vocoder import filled
from v2s_jax.models import prosody
from v2s_jax.models.prosody import (
    CONTROLS,
    PITCH_CENTRE,
    PITCH_SCALE,
    ContourEmbedding,
    Contours,
    ProsodyPredictor,
)
from v2s_jax.models.remat import KEEP_ALL
from v2s_jax.models.rngs import Rngs

control, measured, prosody_losses = map(jax.jit, (prosody.control, prosody.measured, prosody.prosody_losses))

HZ = jnp.array([[0.0, 100.0, 200.0, 0.0], [120.0, 120.0, 0.0, 0.0]])
ENERGY = jnp.array([[-9.0, -3.0, -3.0, -6.0], [-2.0, -2.0, -5.0, 0.0]])
MASK = jnp.array([[True] * 4, [True, True, False, False]])


def hertz(contours):
    return np.where(
        np.asarray(contours.voicing) > 0, np.exp(PITCH_CENTRE + PITCH_SCALE * np.asarray(contours.pitch)), 0
    )


def test_the_contours_of_a_recording():
    found = measured(HZ, ENERGY)
    np.testing.assert_allclose(hertz(found), HZ, rtol=1e-5)
    np.testing.assert_allclose(found.energy, (np.asarray(ENERGY) + 6) / 3, rtol=1e-6)
    assert (found.pitch[HZ == 0] == 0).all()


def test_losses_by_hand():
    true = measured(HZ, ENERGY)
    sure = Contours(jnp.where(true.voicing > 0, 30.0, -30.0), true.pitch + 0.5, true.energy - 0.25)
    found = prosody_losses(sure, true, MASK)
    assert float(found["voicing"]) == pytest.approx(0, abs=1e-6)
    assert float(found["pitch"]) == pytest.approx(0.5, rel=1e-5)
    assert float(found["energy"]) == pytest.approx(0.25, rel=1e-5)
    doubt = prosody_losses(Contours(jnp.zeros((2, 4)), true.pitch, true.energy), true, MASK)
    assert float(doubt["voicing"]) == pytest.approx(math.log(2), rel=1e-5)
    beyond = Contours(*(jnp.where(MASK, value, 99.0) for value in sure))
    for name, value in prosody_losses(beyond, true, MASK).items():
        assert float(value) == pytest.approx(float(found[name]), abs=1e-6)


def test_settings_of_old_change_nothing():
    true = measured(HZ, ENERGY)
    same = control(true, MASK, {name: jnp.asarray(value) for name, value in CONTROLS.items()})
    for one, other in zip(same, true, strict=True):
        np.testing.assert_allclose(one[MASK], other[MASK], atol=1e-5)


def controlled(**changes):
    settings = {name: jnp.asarray(value) for name, value in (CONTROLS | changes).items()}
    return control(measured(HZ, ENERGY), MASK, settings)


def test_pitch_moves_by_semitones():
    np.testing.assert_allclose(hertz(controlled(pitch_shift=12.0))[MASK], 2 * np.asarray(HZ)[MASK], rtol=1e-4)


def test_a_flat_voice_is_at_its_mean():
    flat = hertz(controlled(pitch_range=0.0))
    np.testing.assert_allclose(flat[0, 1:3], math.sqrt(100 * 200), rtol=1e-3)
    wide = hertz(controlled(pitch_range=2.0))
    np.testing.assert_allclose(wide[0, 2] / wide[0, 1], 4, rtol=1e-3)


def test_a_mel_is_as_much_louder_as_it_is_told():
    mel, mask = jnp.full((1, 4, 80), -3.0), jnp.array([[True, True, True, False]])
    found = np.asarray(prosody.louder(mel, mask, jnp.float32(20.0)))
    np.testing.assert_allclose(found[0, :3], -3 + math.log(10), rtol=1e-5)
    np.testing.assert_array_equal(found[0, 3], -3)


def test_contours_run_about_the_middle():
    ramp = jnp.arange(8.0)[None]
    mask = jnp.ones((1, 8), bool)
    settings = {name: jnp.asarray(value) for name, value in (CONTROLS | {"contour_speed": 2.0}).items()}
    found = control(Contours(ramp, ramp, ramp), mask, settings).energy[0]
    np.testing.assert_allclose(found, np.clip(3.5 + 2 * (np.arange(8) - 3.5), 0, 7), atol=1e-5)


def test_the_predictor_does_not_hear_padding():
    config = ConfigDict(
        {"blocks": 1, "width": 8, "heads": 2, "hidden": 8, "kernel_size": 3, "dropout": 0.0, "remat": KEEP_ALL}
    )
    made = filled(lambda: ProsodyPredictor(6, 4, config, jnp.float32, Rngs(0)))
    made = nnx.view(made, deterministic=True, use_running_average=True)
    rng = np.random.default_rng(0)
    x, seen = jnp.asarray(rng.normal(size=(2, 8, 6)), jnp.float32), jnp.asarray(rng.normal(size=(2, 4, 4)), jnp.float32)
    found = run(made, x, seen, jnp.arange(8)[None] < jnp.array([[8], [4]]))
    assert found.pitch.shape == (2, 16)
    alone = run(made, x[1:, :4], seen[1:, :2], jnp.ones((1, 4), bool))
    for one, other in zip(found, alone, strict=True):
        np.testing.assert_allclose(one[1, :8], other[0], atol=1e-5)
    blind = run(made, x, 0 * seen, jnp.ones((2, 8), bool))
    assert np.abs(blind.energy - run(made, x, seen, jnp.ones((2, 8), bool)).energy).max() > 1e-3


def test_pitch_counts_only_where_there_is_voice():
    embed = functools.partial(run, filled(lambda: ContourEmbedding(5, jnp.float32, Rngs(0))))
    silent = Contours(jnp.full((1, 4), -30.0), jnp.array([[0.0, 1, 2, 3]]), jnp.zeros((1, 4)))
    assert embed(silent).shape == (1, 2, 5)
    np.testing.assert_allclose(embed(silent), embed(silent._replace(pitch=jnp.zeros((1, 4)))), atol=1e-6)
    voiced = silent._replace(voicing=-silent.voicing)
    assert np.abs(embed(voiced) - embed(voiced._replace(pitch=jnp.zeros((1, 4))))).max() > 1e-2
