"""What GE2E speaker encoders hear: 40 mel bands of power at 100 Hz, not logarithmic, in partials of 1.6 s.

The recipe is that of Resemblyzer and Real-Time-Voice-Cloning: librosa's mel spectrogram of 25 ms frames every 10 ms, of
a wave brought up to -30 dBFS and freed from long silences. They ask the package webrtcvad which 30 ms windows are
speech; here a window is speech when it is within 25 dB of the loudest one, and what follows (smoothing over 8 windows,
keeping 3 more on either side) is theirs. With the published weights the embeddings of 50 GRID clips then have a cosine
of 0.99 with those after webrtcvad; untrimmed ones have 0.94.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from v2s_jax.constants import HOP_LENGTH, SAMPLE_RATE
from v2s_jax.features.filters import hann, mel_filters
from v2s_jax.features.frames import overlapping

SPEAKER_MELS = 40
PARTIAL_FRAMES = 160  # mel frames of one partial utterance: 1.6 s
PARTIAL_SAMPLES = PARTIAL_FRAMES * HOP_LENGTH
TARGET_RMS = 10 ** (-30 / 20)  # -30 dBFS
_FFT = 400  # samples: 25 ms
_HOPS = -(-_FFT // HOP_LENGTH)  # hops that cover a frame
_WINDOW = 480  # samples: 30 ms, in which speech is looked for
_BELOW_LOUDEST = 10 ** (-25 / 20)
_KNEE = 4800.0  # Hz: up to here `warped_filters` scales frequencies


def speaker_mel(wave: Float[np.ndarray, "n"]) -> Float[np.ndarray, "m 40"]:
    """Mel power spectrogram on the host.

    Args:
        wave: mono waveform in [-1, 1] at 16 kHz.

    Returns:
        float32 power in 40 Slaney bands from 0 to 8000 Hz, m = 1 + n // 160 frames, the first centred on sample 0;
        beyond its ends the wave is taken as silent.
    """
    padded = np.pad(wave.astype(np.float64), _FFT // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FFT)[::HOP_LENGTH]
    power = np.abs(np.fft.rfft(frames * hann(_FFT), axis=-1)) ** 2
    return (power @ mel_filters(_FFT, SPEAKER_MELS)).astype(np.float32)


def speaker_mel_jax(
    wave: Float[jax.Array, "*B n"], filters: Float[jax.Array, "201 40"] | None = None
) -> Float[jax.Array, "*B m 40"]:
    """Mel power spectrogram on the device: the numbers of `speaker_mel`, differentiable, in float32.

    Args:
        wave: mono waveforms in [-1, 1] at 16 kHz, any leading dimensions.
        filters: other mel filters, such as one of `warped_filters`.
    """
    *batch, n = wave.shape
    m = 1 + n // HOP_LENGTH
    left, total = _FFT // 2, (m + _HOPS - 1) * HOP_LENGTH
    wave = jnp.asarray(wave, jnp.float32)[..., : total - left]
    padded = jnp.pad(wave, [(0, 0)] * len(batch) + [(left, max(total - left - n, 0))])
    frames = overlapping(padded, _FFT, HOP_LENGTH)
    window = jnp.asarray(hann(_FFT), jnp.float32).reshape((1,) * (frames.ndim - 1) + (_FFT,))
    spectrum = jnp.fft.rfft(frames * window)
    filters = jnp.asarray(mel_filters(_FFT, SPEAKER_MELS)) if filters is None else filters
    return jnp.matmul(spectrum.real**2 + spectrum.imag**2, filters, precision=jax.lax.Precision.HIGHEST)


def warped_filters(factor: Float[jax.Array, "N"]) -> Float[jax.Array, "N 201 40"]:
    """Mel filters that hear every frequency `factor` times as high: another, smaller or larger, speaker.

    Vocal tract length perturbation (Jaitly and Hinton 2013): frequencies up to about 4800 Hz are scaled, those above
    are squeezed or stretched linearly so that 8000 Hz stays where it is. Power spectra know the pitch, too, so it moves
    along.

    Args:
        factor: between 0.7 and 1.4, one for each set of filters.
    """
    nyquist = SAMPLE_RATE / 2
    frequency = jnp.linspace(0.0, nyquist, _FFT // 2 + 1)[None]
    factor = factor[:, None]
    knee = _KNEE * jnp.minimum(factor, 1.0)  # where scaled frequencies end
    above = nyquist - (nyquist - knee) / (nyquist - knee / factor) * (nyquist - frequency)
    heard = jnp.where(frequency <= knee / factor, frequency * factor, above)
    position = jnp.clip(heard / nyquist, 0.0, 1.0) * (_FFT // 2)
    below = jnp.minimum(position.astype(jnp.int32), _FFT // 2 - 1)
    part = (position - below)[..., None]
    filters = jnp.asarray(mel_filters(_FFT, SPEAKER_MELS))
    return filters[below] * (1 - part) + filters[below + 1] * part


def normalise_volume(wave: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """The wave brought up to -30 dBFS if it is quieter; silence stays silence."""
    rms = float(np.sqrt(np.mean(np.square(wave, dtype=np.float64)))) if len(wave) else 0.0
    return wave * np.float32(TARGET_RMS / rms) if 0 < rms < TARGET_RMS else wave


def trim_silence(wave: Float[np.ndarray, "n"]) -> Float[np.ndarray, "_"]:
    """The wave without long silences, at a resolution of 30 ms; whole if that would leave nothing."""
    count = len(wave) // _WINDOW
    level = np.sqrt(np.mean(wave[: count * _WINDOW].reshape(count, _WINDOW).astype(np.float64) ** 2, axis=1))
    speech = level > level.max(initial=0.0) * _BELOW_LOUDEST
    speech = _flags_around(_flags_around(speech, 3, 4) > 4, 3, 3) > 0
    trimmed = wave[: count * _WINDOW][np.repeat(speech, _WINDOW)]
    return trimmed if len(trimmed) else wave


def _flags_around(flags: np.ndarray, before: int, after: int) -> np.ndarray:
    """For each place how many flags are set from `before` places before it to `after` places after it."""
    if not len(flags):
        return np.zeros(0, np.int64)
    return np.convolve(flags.astype(np.int64), np.ones(before + after + 1, np.int64))[after : after + len(flags)]


def partial_starts(n_samples: int, rate: float = 1.3, min_coverage: float = 0.75) -> Int[np.ndarray, "p"]:
    """First mel frames of the partials of 160 frames into which an utterance is cut; at least one.

    Args:
        n_samples: length of the utterance at 16 kHz.
        rate: partials to a second, at least 0.625 so that they leave no gap.
        min_coverage: the last partial counts if the utterance fills at least this share of it.
    """
    step = round(SAMPLE_RATE / rate / HOP_LENGTH)
    frames = -(-(n_samples + 1) // HOP_LENGTH)
    starts = np.arange(0, max(1, frames - PARTIAL_FRAMES + step + 1), step)
    covered = (n_samples - starts[-1] * HOP_LENGTH) / PARTIAL_SAMPLES
    return starts[:-1] if covered < min_coverage and len(starts) > 1 else starts


def partials(
    wave: Float[np.ndarray, "n"], rate: float = 1.3, min_coverage: float = 0.75
) -> Float[np.ndarray, "p 160 40"]:
    """The mel spectrograms of an utterance's partials, silence after its end.

    Args:
        wave: mono waveform at 16 kHz, normalised and trimmed.
        rate: partials to a second.
        min_coverage: share of the last partial that the utterance must fill.
    """
    starts = partial_starts(len(wave), rate, min_coverage)
    mel = speaker_mel(np.pad(wave, (0, max(0, starts[-1] * HOP_LENGTH + PARTIAL_SAMPLES - len(wave)))))
    return mel[starts[:, None] + np.arange(PARTIAL_FRAMES)]
