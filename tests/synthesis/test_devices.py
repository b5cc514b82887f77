"""Two devices need a process of their own."""

import os
import subprocess
import sys

import numpy as np

from tests.small_vocoder import small_config, small_system
from v2s_jax.models.folder import save_model
from v2s_jax.synthesis.synthesizer import Synthesizer

SPEAK = """
import sys
import jax
import numpy as np
from v2s_jax.synthesis.synthesizer import Synthesizer
assert jax.local_device_count() == 2
synthesizer = Synthesizer.from_pretrained(sys.argv[1], 3, vocoder=sys.argv[2])
assert synthesizer.network.batch_size == 4 == synthesizer.vocoder.rows
with np.load(sys.argv[3]) as clips:
    waves = synthesizer.arrays([clips[name] for name in clips.files])
np.savez(sys.argv[4], *waves)
"""


def test_two_devices_say_what_one_says(model, make_clip, tmp_path):
    save_model(tmp_path / "vocoder", small_config().generator, small_system().generator, {}, "")
    clips = [make_clip(frames, frames).mouth for frames in (30, 20, 36)]
    np.savez(tmp_path / "clips.npz", *clips)
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2"
    paths = [str(path) for path in (model, tmp_path / "vocoder", tmp_path / "clips.npz", tmp_path / "waves.npz")]
    subprocess.run([sys.executable, "-c", SPEAK, *paths], env=os.environ | {"XLA_FLAGS": flags}, check=True)
    expected = Synthesizer.from_pretrained(model, vocoder=tmp_path / "vocoder").arrays(clips)
    with np.load(tmp_path / "waves.npz") as waves:
        for name, wave in zip(waves.files, expected, strict=True):
            np.testing.assert_allclose(waves[name], wave, atol=1e-5)
