"""Log-mel back to a waveform inside a program: Griffin-Lim's iterations that hold the mel, not the magnitudes.

Magnitudes made from a mel spectrum are a guess, and no waveform has them. Plain Griffin-Lim keeps the guess and looks
for phases; here the magnitudes, too, may move towards those of the waveform found so far, as long as its mel stays.
"""

import functools

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Complex, Float, Int

from v2s_jax.constants import HOP_LENGTH, N_FFT
from v2s_jax.features.filters import TINY, UPDATES, hann, mel_filters
from v2s_jax.features.frames import overlapping
from v2s_jax.features.peak_phases import peak_phases

_HOPS = N_FFT // HOP_LENGTH  # hops to a window
_CENTRE = N_FFT // 2 // HOP_LENGTH  # hops from a window's start to its centre


def stft(wave: Float[Array, "B n"]) -> Complex[Array, "B m 321"]:
    """Short-time Fourier transform by the constants of the log-mel recipe, with silence beyond the ends.

    Args:
        wave: n = 160 m samples; frame t is centred on sample 160 t.
    """
    padded = jnp.pad(wave, ((0, 0), (_CENTRE * HOP_LENGTH, (_HOPS - _CENTRE - 1) * HOP_LENGTH)))
    frames = overlapping(padded, N_FFT, HOP_LENGTH)
    return jnp.fft.rfft(frames * jnp.asarray(hann(), jnp.float32)[None, None])


def istft(spectrum: Complex[Array, "B m 321"], valid: Bool[Array, "B m"]) -> Float[Array, "B n"]:
    """The waveform whose `stft` is nearest to a spectrum (Griffin and Lim 1984, eq. 6), n = 160 m.

    Args:
        spectrum: any, consistent or not.
        valid: frames that count; the waveform is silent elsewhere.
    """
    window = jnp.asarray(hann(), jnp.float32)
    frames = jnp.where(valid[..., None], jnp.fft.irfft(spectrum, N_FFT) * window[None, None], 0)
    weight = _overlap_add(jnp.where(valid[..., None], (window**2)[None, None], 0))
    wave = _overlap_add(frames) / jnp.maximum(weight, TINY)
    return jnp.where(jnp.repeat(valid, HOP_LENGTH, axis=1), wave, 0)


def _overlap_add(frames: Float[Array, "B m N"]) -> Float[Array, "B n"]:
    rows, count, _ = frames.shape
    pieces = frames.reshape(rows, count, _HOPS, HOP_LENGTH)
    shifted = [jnp.pad(pieces[:, :, i], ((0, 0), (i, _HOPS - 1 - i), (0, 0))) for i in range(_HOPS)]
    hops = functools.reduce(jnp.add, shifted)
    return hops[:, _CENTRE : _CENTRE + count].reshape(rows, count * HOP_LENGTH)


def fit_mel(magnitude: Float[Array, "B m 321"], back: Float[Array, "B m 321"]) -> Float[Array, "B m 321"]:
    """One multiplicative update (Lee and Seung 2000) of magnitudes towards those of a linear mel.

    Args:
        magnitude: positive.
        back: the mel through the transposed filters, `mel @ mel_filters().T`.
    """
    filters = jnp.asarray(mel_filters())
    return magnitude * (back / jnp.maximum(magnitude @ filters @ filters.T, TINY))


def invert_mel(
    log_mel: Float[Array, "B m 80"],
    magnitude: Float[Array, "B m 321"],
    lengths: Int[Array, "B"] | None = None,
    iterations: int = 24,
    rho: float = 0.2,
    freedom: float = 0.5,
) -> Float[Array, "B n"]:
    """A waveform of such a mel, from a guess of its magnitudes.

    Args:
        log_mel: natural logarithm, unscaled.
        magnitude: of the spectrum, not negative; phases begin as `peak_phases` says.
        lengths: valid frames of each row, as if the rest were not there; all if None.
        iterations: of the two projections, by the alternating direction method of multipliers (Masuyama, Yatabe and
            Oikawa 2019, "Griffin-Lim like phase recovery"), 24 of which give what 100 of fast Griffin-Lim do.
        rho: how far a spectrum may be from that of a waveform on the way, not negative.
        freedom: 0 holds the magnitudes given, as Griffin-Lim; 1 takes them from the waveform found so far alone;
            between, their geometric mean so weighted.

    Returns:
        float32, n = 160 m samples, not bounded. Iterations multiply rounding: the same clip in another batch, or on
        another machine, sounds alike but its samples differ.
    """
    rows, count, _ = log_mel.shape
    lengths = jnp.full(rows, count) if lengths is None else lengths
    valid = jnp.arange(count)[None] < lengths[:, None]
    mel = jnp.where(valid[..., None], jnp.exp(log_mel.astype(jnp.float32)), 0)
    back = mel @ mel_filters().T
    given = jnp.maximum(magnitude.astype(jnp.float32), TINY)
    given = jnp.maximum(lax.fori_loop(0, UPDATES, lambda _, a: fit_mel(a, back), given), TINY)
    held = given ** (1 - freedom)

    def iterate(_, state):
        spectrum, dual = state
        mixed = spectrum + dual
        consistent = stft(istft(mixed, valid))
        ahead = 2 * consistent - (1 - rho) * mixed
        found = jnp.maximum(_length(consistent), TINY)
        fitted = fit_mel(found**freedom * held, back)
        return fitted / jnp.maximum(_length(ahead), TINY) * ahead, (mixed - consistent) / (1 + rho)

    start = given * peak_phases(given)
    return istft(lax.fori_loop(0, iterations, iterate, (start, jnp.zeros_like(start)))[0], valid)


def _length(x: Complex[Array, "*shape"]) -> Float[Array, "*shape"]:
    """As `jnp.abs`, which takes several times as long on a CPU for the sake of numbers that no spectrum has."""
    return jnp.sqrt(jnp.real(x) ** 2 + jnp.imag(x) ** 2)
