import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tests.compiled import run, run_as_users
from tests.small_encoder import small_config
from tests.small_vocoder import filled
from v2s_jax.errors import V2SError
from v2s_jax.models.avhubert import AVHuBERT
from v2s_jax.models.inference import evaluation_mode
from v2s_jax.models.prompts import Prompts
from v2s_jax.models.rngs import Rngs

RNG = np.random.default_rng(0)
VIDEO = jnp.asarray(RNG.standard_normal((2, 6, 16, 16), np.float32))
AUDIO = jnp.asarray(RNG.standard_normal((2, 6, 104), np.float32))
PADDING = jnp.arange(6)[None] >= jnp.array([[6], [4]])


class Pair(nnx.Module):
    """An encoder and its prompts."""

    def __init__(self, config):
        self.encoder = AVHuBERT(config, rngs=Rngs(0))
        self.prompts = Prompts(config.width, Rngs(1))

    def __call__(self, **clip):
        return self.prompts(self.encoder, **clip)


def prompted(**settings) -> Pair:
    config = small_config(layers=2, **settings).encoder
    return evaluation_mode(filled(lambda: Pair(config)))


@pytest.mark.parametrize(("norm_first", "scan"), [(True, True), (False, True), (True, False)])
def test_the_frames_are_those_of_the_encoder_to_the_bit(norm_first, scan):
    module = prompted(norm_first=norm_first, scan=scan)
    clip = {"video": VIDEO, "padding_mask": PADDING}
    np.testing.assert_array_equal(run_as_users(module, **clip).frames, run_as_users(module.encoder, **clip))


def test_the_prompt_hears_its_modality_and_no_padding():
    module = prompted()
    seen = run(module, video=VIDEO, padding_mask=PADDING).prompt
    assert seen.shape == (2, 16) and seen.dtype == jnp.float32
    alone = run(module, video=VIDEO[1:, :4]).prompt
    np.testing.assert_allclose(seen[1], alone[0], atol=1e-5)
    changed = run(module, video=VIDEO.at[1, 2].add(1.0), padding_mask=PADDING).prompt
    assert np.abs(changed[1] - seen[1]).max() > 1e-4
    np.testing.assert_allclose(changed[0], seen[0], atol=1e-6)
    assert np.abs(run(module, audio=AUDIO).prompt - run(module, video=VIDEO).prompt).max() > 1e-3


def test_it_reads_as_a_token_would_that_the_others_do_not_see():
    """Against a plain transformer over frames and prompt together, with that mask."""
    module = prompted(norm_first=True, scan=False)
    transformer = module.encoder.encoder

    @jax.jit
    def plain():
        x = transformer.embed(*module.encoder.frames(video=VIDEO), None)
        prompt = jnp.broadcast_to(module.prompts.video[...][None, None], (2, 1, 16))
        tokens = jnp.concatenate([x, prompt], axis=1)
        for index in range(2):
            layer = jax.tree.map(lambda leaf, index=index: leaf[index], transformer.layers)
            keys, values = layer.keys_values(tokens)
            everything = jnp.ones(tokens.shape[:2], bool)
            for_frames = layer.attend(tokens, keys, values, everything.at[:, -1].set(False))[:, :-1]
            for_prompt = layer.attend(tokens, keys, values, everything)[:, -1:]
            tokens = layer.feed_forward(jnp.concatenate([for_frames, for_prompt], axis=1))
        return transformer.norm(tokens)[:, -1]

    np.testing.assert_allclose(run(module, video=VIDEO).prompt, plain(), atol=1e-5)


def test_gradients_reach_the_prompt_of_the_modality_alone():
    module = prompted()
    graphdef, prompts, rest = nnx.split(module, nnx.PathContains("prompts"), ...)

    def loss(prompts):
        return jnp.sum(nnx.merge(graphdef, prompts, rest)(video=VIDEO).prompt[:, :3] ** 2)

    gradient = nnx.to_pure_dict(jax.jit(jax.grad(loss))(prompts))["prompts"]
    assert np.abs(gradient["video"]).max() > 0 and not np.abs(gradient["audio"]).any()


def test_one_modality_at_a_time():
    with pytest.raises(V2SError, match="was given video and audio"):
        prompted()(video=VIDEO, audio=AUDIO)
    with pytest.raises(V2SError, match="was given none"):
        prompted()(padding_mask=PADDING)
