import subprocess
import sys

import numpy as np
import pytest

from tests.small_diffv2s import save_small as save_sampling
from tests.small_vocoder import small_config, small_system
from tests.synthesis.test_export_command import export
from v2s_jax.errors import V2SError
from v2s_jax.interop import stablehlo
from v2s_jax.models.folder import save_model
from v2s_jax.synthesis.buckets import centre_crop
from v2s_jax.synthesis.synthesizer import Synthesizer

ALONE = """
import sys
import numpy as np
import v2s_jax.interop.stablehlo as stablehlo
with np.load(sys.argv[2]) as inputs:
    waveform, log_mel = stablehlo.load(sys.argv[1])(inputs["mouth"], inputs["length"])
np.savez(sys.argv[3], waveform=waveform, log_mel=log_mel)
assert not [name for name in sys.modules if name.startswith(("v2s_jax.models", "v2s_jax.systems", "flax"))]
"""


@pytest.fixture(scope="module")
def vocoder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vocoders") / "part"
    save_model(folder, small_config().generator, small_system().generator, {"audio": {"sampling_rate": 16000}}, "")
    return folder


def test_programs_speak_as_the_synthesizer_does_without_its_code(model, vocoder, make_clip, tmp_path, capsys):
    options = ["--format", "stablehlo", "--vocoder", vocoder, "--frames", "38", "--batch-size", 2]
    assert export("--model", model, "--out", tmp_path / "out", *options) == 0
    assert "programs of 38 frames, 2 of rows" in capsys.readouterr().out
    assert (tmp_path / "out" / "README.md").read_text() == "# small\n"
    clips = [make_clip(frames, frames).mouth for frames in (30, 20, 36)]
    mouth = np.zeros((3, 36, 88, 88), np.uint8)
    for row, crops in zip(mouth, clips, strict=True):
        row[: len(crops)] = centre_crop(crops)
    np.savez(tmp_path / "in.npz", mouth=mouth, length=np.array([30, 20, 36], np.int32))
    line = [sys.executable, "-c", ALONE, *(str(tmp_path / name) for name in ("out", "in.npz", "spoken.npz"))]
    subprocess.run(line, check=True)
    synthesizer = Synthesizer.from_pretrained(model, vocoder=vocoder)
    with np.load(tmp_path / "spoken.npz") as spoken:
        assert spoken["waveform"].shape == (3, 640 * 36) and spoken["log_mel"].shape == (3, 4 * 36, 80)
        for wave, expected in zip(spoken["waveform"], synthesizer.arrays(clips), strict=True):
            np.testing.assert_allclose(wave[: len(expected)], expected, atol=1e-5)
            assert not wave[len(expected) :].any()


def test_a_sampling_model_keeps_its_knobs_and_its_noise(make_clip, tmp_path):
    save_sampling(tmp_path / "model", synthesis={"vocoder": "griffin_lim", "griffin_lim_iterations": 2})
    export("--model", tmp_path / "model", "--out", tmp_path / "out", "--format", "stablehlo", "--frames", "25")
    speak = stablehlo.load(tmp_path / "out")
    assert speak.about["rows"] is None  # any number
    clip = make_clip(20)
    given = {"mouth": centre_crop(clip.mouth)[None], "length": np.array([20], np.int32), "start": np.zeros(1, np.int32)}
    mels = [speak(**given, knobs={"evaluations": count})[1][0] for count in (1.0, 3.0)]
    assert speak(**given)[0] is None
    for count, mel in zip((1.0, 3.0), mels, strict=True):
        expected = Synthesizer.from_pretrained(tmp_path / "model", sampler={"evaluations": count})(clip).log_mel
        np.testing.assert_allclose(mel, expected, atol=1e-4)
    assert abs(mels[0] - mels[1]).max() > 1e-3
    both = speak(**{name: np.repeat(value, 2, 0) for name, value in given.items()}, knobs={"evaluations": 3.0})[1]
    np.testing.assert_allclose(both, np.stack(mels[1:] * 2), atol=1e-5)
    with pytest.raises(ValueError, match="the sampler knows evaluations; got .*again"):
        speak(**given, knobs={"again": 1.0})
    with pytest.raises(ValueError, match="expected the inputs"):
        speak(given["mouth"], given["length"])
    with pytest.raises(ValueError, match="clips of 26 frames; the longest program is for 25"):
        speak(np.zeros((1, 26, 88, 88), np.uint8), given["length"], start=given["start"])
    with pytest.raises(ValueError, match=r"mouth is \[1, 5, 96, 96\]; expected \[B, 1\*T, 88, 88\]"):
        speak(np.zeros((1, 5, 96, 96), np.uint8), given["length"], start=given["start"])


def test_what_has_no_programs(model, vocoder, tmp_path):
    with pytest.raises(V2SError, match="a hifigan alone does not speak"):
        export("--model", vocoder, "--out", tmp_path / "out", "--format", "stablehlo")
    with pytest.raises(V2SError, match="leave --part, --layout and --dtype out"):
        export("--model", model, "--out", tmp_path / "out", "--format", "stablehlo", "--dtype", "float16")
