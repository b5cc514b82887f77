"""AV2A-WaveGAN (arXiv 2307.16584): speech from video and a draft straight to the waveform, against two critics.

With the procedure "video" it is its V2A, V2A-WaveGAN (Mira et al. 2021, arXiv 2104.13332): features of the lips, a
temporal module, transposed convolutions, and Wasserstein critics of the waveform and of the power spectrogram with
gradient penalty, beside three comparative losses: L1 of power spectrograms, of MFCCs and of what a speech encoder hears
(theirs is PASE; here it is whichever `listener` names). Their layers and weights were NOT FOUND: those here are ours,
and the temporal module is the conformer of the mel domain, where the first paper has recurrent layers. Drafts are heard
as log-mels in both domains.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int
from ml_collections import ConfigDict

from v2s_jax.constants import SAMPLES_PER_FRAME
from v2s_jax.data.batch import Batch
from v2s_jax.features.filters import scale_mel
from v2s_jax.features.mel import log_mel_jax, log_mel_of_clips
from v2s_jax.features.mel_cepstrum import cosines
from v2s_jax.generative import wasserstein
from v2s_jax.models import listener, wave_critics, wave_generator
from v2s_jax.models.windows import cut, starts
from v2s_jax.systems import audio_visual, svts
from v2s_jax.systems.base import Metrics, Rules

_MAIN = "main"  # the player of the stage without critics


def default_config(size: str = "S", procedure: str = "dropout_true", width: str = "full") -> ConfigDict:
    """The `system` section; `size` is one of `svts.SIZES`, the others as of `grow`."""
    return grow(svts.default_config(size), procedure, width)


def grow(lips: ConfigDict, procedure: str = "dropout_true", width: str = "full") -> ConfigDict:
    """The `system` section of an AV2A-WaveGAN whose front end and conformer have the sizes of an `svts`.

    Args:
        lips: the section of the `svts`; it stays as it is.
        procedure: see `audio_visual.grow`.
        width: of generator and critics, "full" or "small".
    """
    mel_alone = ("l1_weight", "convergence_weight", "envelope_weight")
    shared = ConfigDict({name: value for name, value in lips.to_dict().items() if name not in mel_alone})
    shared.tempo = (1.0, 1.0)
    own = dict(
        generator=wave_generator.default_config(width),
        critics=wave_critics.default_config(width),
        listener=listener.default_config(),
        judged=True,  # whether there are critics and a listener, which only training needs
        window=25,  # video frames of each clip that are made and judged in a step
        adversarial_weight=0.02,  # more made the small GRID model's spectra worse than they were without critics
        penalty_weight=50.0,  # 10 lets the slope over a second of waveform settle near 3, this near 1.4
        power_weight=15.0,
        mfcc_weight=10.0,
        perceptual_weight=1.0,
    )
    shared.update(own)
    base = audio_visual.grow(shared, "av2a_wavegan", "video")
    base.judged = False
    config = audio_visual.grow(shared, "av2a_wavegan", procedure)
    config.v2a = base
    return config


class AV2AWaveGAN(audio_visual.AudioVisual):
    """Video, a draft or both (and, if the config says so, a speaker embedding) to a waveform."""

    kind = "waveform"

    def __init__(self, config: ConfigDict, *, rngs: nnx.Rngs, dtype: DTypeLike = jnp.float32):
        if tuple(config.tempo) != (1.0, 1.0):
            raise ValueError(f"system.tempo is {tuple(config.tempo)}: a waveform cannot follow, expected (1.0, 1.0)")
        super().__init__(config, rngs=rngs, dtype=dtype)
        if config.base == "v2a" and self.base.kind != "waveform":
            raise ValueError(f"system.v2a is of {config.v2a.name}: expected one that makes waveforms")
        self.window, self.weights = config.window, {name: config[f"{name}_weight"] for name in _WEIGHTS}
        self.generator = wave_generator.WaveGenerator(config.generator, config.width, rngs=rngs, dtype=dtype)
        if config.judged:
            self.critics = wave_critics.WaveCritics(config.critics, rngs=rngs, dtype=dtype)
        if config.judged and self.weights["perceptual"]:
            self.listener = listener.Listener(config.listener, rngs=rngs, dtype=dtype)

    def speak(
        self, x: Float[Array, "B T D"], mask: Bool[Array, "B T"], state: Int[Array, "B"]
    ) -> Float[Array, "B samples"]:
        """The waveform of features."""
        return self.generator(x, mask, state)

    def hear(self, speech: Float[Array, "B samples"], length: Int[Array, "B"]) -> Float[Array, "B M 80"]:
        """Its scaled log-mel."""
        return jnp.asarray(scale_mel(log_mel_of_clips(speech, SAMPLES_PER_FRAME * length)))

    def silence(self, mask: Bool[Array, "B T"]) -> Float[Array, "B samples"]:
        """What `speak` gives when nothing is said."""
        return jnp.zeros((mask.shape[0], SAMPLES_PER_FRAME * mask.shape[1]))

    def take(self, draft: Float[Array, "B samples"], length: Int[Array, "B"]) -> Float[Array, "B samples"]:
        """The waveform as it is."""
        return draft

    def finish(self, speech: Float[Array, "B samples"], length: Int[Array, "B"]) -> Float[Array, "B samples"]:
        """The waveform as it is: `speak` is silent beyond the end."""
        return speech

    def loss(self, batch: Batch, rngs: nnx.Rngs, player: str = _MAIN) -> tuple[Float[Array, ""], Metrics]:
        """The loss of one player: "critic", "generator", or "main", the generator alone without critics.

        A window of every clip is made and judged, and the waveform at its edges is made without what lies beyond.

        Raises:
            ValueError: the model is one that was exported, without what training needs.
        """
        if not hasattr(self, "critics"):
            raise ValueError("this model was exported without its critics (system.judged is False): it cannot train on")
        reading = self.read(batch, rngs)
        first = starts(reading.batch.need("length"), reading.x.shape[1], self.window, rngs)
        x, mask = cut(reading.x, first, self.window), cut(reading.mask, first, self.window)
        real = cut(batch.need("audio"), SAMPLES_PER_FRAME * first, SAMPLES_PER_FRAME * self.window)
        fake = self.speak(x, mask, reading.state)
        if player == "critic":
            return self._critic_loss(real, jax.lax.stop_gradient(fake), rngs)
        loss, metrics = self._comparison(real, fake)
        loss, metrics = self.spelled(reading.x, reading.batch, loss, metrics)
        if player == _MAIN:
            return loss, metrics
        verdicts = [self.critics.wave(fake), self.critics.power(wave_critics.power(fake))]
        metrics["adversarial"] = sum(map(wasserstein.generator_loss, verdicts), jnp.zeros(()))
        return loss + self.weights["adversarial"] * metrics["adversarial"], metrics

    def _comparison(self, real: Float[Array, "B n"], fake: Float[Array, "B n"]) -> tuple[Float[Array, ""], Metrics]:
        """The three comparative losses, weighted, and each by itself."""
        metrics = {
            "power": jnp.mean(jnp.abs(wave_critics.power(real) - wave_critics.power(fake))),
            "mfcc": jnp.mean(jnp.abs((log_mel_jax(real) - log_mel_jax(fake)) @ cosines().astype("float32"))),
        }
        if self.weights["perceptual"]:
            metrics["perceptual"] = jnp.mean(jnp.abs(self.listener(real) - self.listener(fake)))
        return sum((self.weights[name] * value for name, value in metrics.items()), jnp.zeros(())), metrics

    def _critic_loss(self, real: jax.Array, fake: jax.Array, rngs: nnx.Rngs) -> tuple[jax.Array, Metrics]:
        """Distance and penalty of both critics."""
        total, metrics = jnp.zeros(()), {}
        shown = {"wave": (real, fake), "power": (wave_critics.power(real), wave_critics.power(fake))}
        for name, (true, made) in shown.items():
            critic = getattr(self.critics, name)
            metrics[f"distance_{name}"] = -wasserstein.critic_loss(critic(true), critic(made))
            mix = jax.random.uniform(rngs.critic(), (len(real),))
            metrics[f"penalty_{name}"] = wasserstein.gradient_penalty(critic, true, made, mix)
            total += self.weights["penalty"] * metrics[f"penalty_{name}"] - metrics[f"distance_{name}"]
        return total, metrics

    @staticmethod
    def handed_on(section: ConfigDict) -> tuple[ConfigDict, set[str]]:
        """The `system` section as it is exported, and the parts left out: critics, listener, and the count of steps."""
        exported, left_out = audio_visual.AudioVisual.handed_on(section)
        exported.judged = False
        return exported, left_out | {"critics", "listener"}

    def stages(self) -> dict[str, Rules]:
        """Against critics that train, too; or, before that, without them."""
        frozen = [("(base|listener)/.*", "frozen")]
        ours = "(?!base/|listener/|critics/).*"
        return {
            "gan": [*frozen, ("critics/.*", "train:critic"), (ours, "train:generator")],
            "reconstruction": [*frozen, ("critics/.*", "frozen"), (ours, "train")],
        }


_WEIGHTS = ("adversarial", "penalty", "power", "mfcc", "perceptual")
