import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx
from ml_collections import ConfigDict

import v2s_jax.interop.torch as interop
from tests.interop.twins import copy_into, randomize
from tests.small_av2a import TINY, clips, small_config
from tests.small_vocoder import filled
from v2s_jax.data.batch import Batch
from v2s_jax.errors import V2SError
from v2s_jax.features.filters import scale_mel
from v2s_jax.features.mel import log_mel
from v2s_jax.interop.tables import av2a as table
from v2s_jax.interop.torch.av2a import AV2A
from v2s_jax.models.folder import flat_weights
from v2s_jax.models.rngs import Rngs
from v2s_jax.systems.pretrained import read_pretrained, save_pretrained
from v2s_jax.systems.registry import build
from v2s_jax.training.state import split_system

STATES = np.array([[0, 1], [2, 2], [1, 0]], np.int32)


def twins(procedure="dropout_true", **settings):
    config = small_config(procedure, **settings)
    theirs = randomize(AV2A(config.to_dict()))
    ours = nnx.eval_shape(lambda: build(config, Rngs(0)))
    return copy_into(ours, theirs, table.entries(config.to_dict())), theirs


def test_rows_in_any_state_are_those_of_pytorch():
    ours, theirs = twins(base="none", speaker_embedding=True, ctc_weight=0.1)
    batch, mel = clips(), np.asarray(scale_mel(clips().draft.astype(np.float32)))
    speaker = np.random.default_rng(2).normal(size=(2, 256)).astype(np.float32) / 16
    mask = np.arange(6)[None] < batch.length[:, None]

    @jax.jit
    def rows(mouth, state):
        given = Batch(jnp.asarray(batch.length), mouth, speaker_embedding=jnp.asarray(speaker))
        return ours.mel(ours.features(ours.see(given, jnp.asarray(mask), state), jnp.asarray(mel), state, given))

    with torch.inference_mode():
        seen = theirs.see(torch.tensor(batch.mouth), torch.tensor(mask))
        for state in STATES:
            own = torch.tensor(state)
            x = theirs.features(seen, torch.tensor(mel), own, torch.tensor(mask), torch.tensor(speaker))
            expected = theirs.speak(x, torch.tensor(mask), own).numpy()
            found = np.asarray(rows(batch.mouth, state))
            for row, length in enumerate(batch.length):
                np.testing.assert_allclose(found[row, : 4 * length], expected[row, : 4 * length], atol=1e-4)


@pytest.mark.parametrize(
    "procedure, settings",
    [
        ("dropout", {}),
        ("both", {"v2a": TINY | {"width": 12}}),
        ("both", {"base": "none"}),
        ("audio", {}),
        ("video", {"blocks": 2}),
    ],
)
def test_drafts_and_rounds_are_those_of_pytorch(procedure, settings):
    ours, theirs = twins(procedure, **settings)
    batch = clips()
    given = Batch(batch.length, **{name: getattr(batch, name) for name in ours.inputs})
    heard = None
    if "draft" in ours.inputs:
        heard = torch.tensor(batch.draft.astype(np.float32))
    elif procedure == "audio":
        mels = [log_mel(wave[: 640 * frames]) for wave, frames in zip(batch.audio, batch.length, strict=True)]
        heard = torch.tensor(np.stack([np.pad(mel, ((0, 24 - len(mel)), (0, 0))) for mel in mels]))
    mouth = torch.tensor(batch.mouth) if "mouth" in ours.inputs else None
    synthesize = jax.jit(lambda batch, knobs: ours.synthesize(batch, Rngs(0), knobs))
    for rounds in (0, 1, 3) if ours.knobs else (1,):
        knobs = {"rounds": jnp.float32(rounds)} if ours.knobs else None
        with torch.inference_mode():
            expected = theirs(mouth, torch.tensor(batch.length), heard=heard, rounds=rounds).numpy()
        np.testing.assert_allclose(synthesize(given, knobs), expected, atol=1e-4)


def test_a_base_of_another_kind_is_refused():
    config = small_config("both").to_dict()
    config["v2a"]["name"] = "diffv2s"
    with pytest.raises(V2SError, match="v2a.name.*diffv2s"):
        AV2A(config)


def test_what_is_missing_is_asked_for():
    _, theirs = twins(base="none")
    mouth, length = torch.zeros(1, 6, 88, 88, dtype=torch.uint8), torch.tensor([6])
    with pytest.raises(ValueError, match="needs something heard"):
        theirs(mouth, length)
    with pytest.raises(ValueError, match="needs mouth .* or heard"):
        theirs(None, length)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_folder_keeps_all_states(tmp_path, dtype):
    config = ConfigDict({"system": small_config("both", modality_dropout={"video": 0.3})})
    system = filled(lambda: build(config.system, Rngs(0)))
    _, *weights = split_system(system)
    save_pretrained(tmp_path / "model", config, *weights, "", dtype)
    _, read = read_pretrained(tmp_path / "model")
    before, after = flat_weights(system), flat_weights(read)
    assert before.keys() == after.keys()
    name = "conformer.blocks.0.conv.depthwise_norm.mean"
    assert after[name].shape == (3, 8)
    for key, value in before.items():
        np.testing.assert_allclose(after[key], value, rtol=1e-3 if dtype == "float16" else 0, atol=1e-7)
    if dtype == "float32":
        theirs = interop.load(tmp_path / "model")
        np.testing.assert_array_equal(
            theirs.state_dict()["conformer.blocks.0.conv.depthwise_norm.running_mean"], after[name]
        )
