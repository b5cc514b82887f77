import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from ml_collections import ConfigDict

from tests.small_vocoder import filled, small_config, small_spectral_config, small_system
from v2s_jax.constants import LOG_FLOOR
from v2s_jax.errors import V2SError
from v2s_jax.models import spectral
from v2s_jax.models.folder import save_model
from v2s_jax.models.hifigan import Generator
from v2s_jax.models.rngs import Rngs
from v2s_jax.synthesis.defaults import default_config
from v2s_jax.synthesis.neural_vocoder import NeuralVocoder, load_generator
from v2s_jax.synthesis.synthesizer import Synthesizer
from v2s_jax.synthesis.vocoder import Vocoder, make_vocoder, vocode
from v2s_jax.systems.pretrained import save_pretrained


@pytest.fixture(scope="module")
def system():
    return small_system()


@pytest.fixture(scope="module")
def folder(system, tmp_path_factory):
    """The generator alone, as an imported one."""
    folder = tmp_path_factory.mktemp("vocoders") / "part"
    save_model(folder, small_config().generator, system.generator, {"audio": {"sampling_rate": 16000}}, "")
    return folder


def mels(frames):
    return np.random.default_rng(0).normal(-3, 1, (frames, 80)).astype(np.float32)


def test_it_says_what_the_generator_says_at_any_length(system, folder):
    vocoder = NeuralVocoder(folder)
    assert isinstance(vocoder, Vocoder)
    for frames in (3, 60, 70):
        wave = vocoder(mels(frames))
        assert wave.shape == (160 * frames,) and wave.dtype == np.float32
        np.testing.assert_allclose(wave, jax.jit(system.generator)(jnp.asarray(mels(frames))[None])[0], atol=1e-5)
    assert len(vocoder._programs) == 2  # up to 50 frames, and up to 75


def test_threads_count_their_own_seconds_of_compiling(folder):
    vocoder, counted = NeuralVocoder(folder), []

    def work():
        start = time.perf_counter()
        vocoder(mels(5))
        counted.append((vocoder.compiling, time.perf_counter() - start))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(vocoder._programs) == 1 and vocoder.compiling == 0  # here nothing was compiled
    assert len(counted) == 2 and all(0 < own <= elapsed for own, elapsed in counted)


def test_a_spectral_vocoder_is_one_too(tmp_path):
    config = small_spectral_config().generator
    vocoder = filled(lambda: spectral.SpectralVocoder(config, rngs=Rngs(0)))
    save_model(tmp_path / "part", config, vocoder, {}, "")
    speak = NeuralVocoder(tmp_path / "part")
    assert np.isfinite(speak(np.full((20, 80), 300, np.float32))).all()
    wave = speak(mels(60))
    assert wave.shape == (160 * 60,) and wave.dtype == np.float32
    alone = jax.jit(vocoder)(jnp.asarray(mels(60))[None])[0]
    assert np.square(wave - alone).mean() < 1e-6 * np.square(alone).mean()


def test_long_mels_go_in_chunks(folder):
    vocoder = NeuralVocoder(folder)
    np.testing.assert_allclose(vocode(vocoder, mels(500), 200), vocoder(mels(500)), atol=1e-4)


def test_an_absurd_mel_stays_finite(folder):
    assert np.isfinite(NeuralVocoder(folder)(np.full((20, 80), 300, np.float32))).all()


def test_a_whole_system_is_a_vocoder_too(system, folder, tmp_path):
    _, *states = nnx.split(system, nnx.Param, ...)
    save_pretrained(tmp_path / "whole", ConfigDict({"system": small_config()}), *map(nnx.to_pure_dict, states), "")
    one, other = NeuralVocoder(tmp_path / "whole"), NeuralVocoder(folder)
    assert one.fingerprint == other.fingerprint
    np.testing.assert_array_equal(one(mels(5)), other(mels(5)))
    with pytest.raises(V2SError, match="makes speech from sound and not from video; name it as --vocoder"):
        Synthesizer.from_pretrained(tmp_path / "whole")


def test_what_is_no_vocoder_of_this_mel(model, tmp_path):
    with pytest.raises(V2SError, match="holds no vocoder"):
        load_generator(model)
    config = small_config().generator
    config.upsample_rates = (10, 8)
    config.upsample_kernel_sizes = (20, 16)
    save_model(tmp_path / "short", config, filled(lambda: Generator(config, rngs=Rngs(0))), {}, "")
    with pytest.raises(V2SError, match="makes 80 samples from each"):
        load_generator(tmp_path / "short")
    info = {"audio": {"sampling_rate": 22050}}
    save_model(tmp_path / "fast", small_config().generator, small_system().generator, info, "")
    with pytest.raises(V2SError, match="22050 Hz"):
        load_generator(tmp_path / "fast")


def test_a_model_speaks_through_the_vocoder_it_is_given(model, folder, make_clip):
    plain, given = Synthesizer.from_pretrained(model), Synthesizer.from_pretrained(model, vocoder=folder)
    assert plain.fingerprint() != given.fingerprint()
    speech = given(make_clip(20))
    assert 0.01 < given.vocoder.compiling < speech.timings["compile"] and speech.timings["vocoder"] > 0
    assert given(make_clip(20)).timings.keys() == {"network", "vocoder"}  # compiled once
    expected = NeuralVocoder(folder)(speech.log_mel)
    np.testing.assert_allclose(speech.waveform, expected / max(1.0, abs(expected).max()), atol=1e-6)
    config = default_config()
    config.vocoder = str(folder)
    silence = np.full((10, 80), LOG_FLOOR, np.float32)
    np.testing.assert_array_equal(make_vocoder(config)(silence), NeuralVocoder(folder)(silence))
