"""The spectral vocoder in PyTorch: magnitudes by a network, phases by Griffin-Lim's iterations.

See `v2s_jax/models/spectral.py` and `v2s_jax/features/mel_inversion.py` for where it comes from.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from v2s_jax.constants import HOP_LENGTH, N_FFT
from v2s_jax.features.filters import TINY, UPDATES, hann, mel_filters, scale_mel, spreading


class Block(nn.Module):
    """Depthwise convolution over time, norm, widen, GELU, narrow, plus the input."""

    def __init__(self, width: int, hidden: int, kernel_size: int):
        super().__init__()
        self.depthwise = nn.Conv1d(width, width, kernel_size, padding=kernel_size // 2, groups=width, bias=False)
        self.norm = nn.LayerNorm(width)
        self.widen, self.narrow = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.layer_scale = nn.Parameter(torch.full((width,), 0.2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, M, D] to the same."""
        y = self.norm(self.depthwise(x.transpose(1, 2)).transpose(1, 2))
        return x + self.layer_scale * self.narrow(F.gelu(self.widen(y), approximate="tanh"))


class SpectralVocoder(nn.Module):
    """Log-mel to waveform.

    Args:
        config: the `model` section of config.json.
    """

    filters: torch.Tensor
    spreading: torch.Tensor
    window: torch.Tensor

    def __init__(self, config: Mapping[str, Any]):
        super().__init__()
        self.iterations, self.rho, self.freedom = (config[name] for name in ("iterations", "rho", "freedom"))
        width, kernel_size = config["width"], config["kernel_size"]
        self.embed = nn.Conv1d(config["num_mels"], width, kernel_size, padding=kernel_size // 2)
        self.blocks = nn.ModuleList(Block(width, config["hidden"], kernel_size) for _ in range(config["blocks"]))
        self.head = nn.Linear(width, N_FFT // 2 + 1)
        self.register_buffer("filters", torch.from_numpy(mel_filters()), persistent=False)
        self.register_buffer("spreading", torch.from_numpy(np.ascontiguousarray(spreading())), persistent=False)
        self.register_buffer("window", torch.from_numpy(hann().astype(np.float32)), persistent=False)

    def forward(self, log_mel: torch.Tensor) -> torch.Tensor:
        """[B, 80, M] to [B, 1, 160 M]."""
        return self._invert(log_mel.transpose(1, 2).exp(), self.log_magnitude(log_mel).exp())[:, None]

    def log_magnitude(self, log_mel: torch.Tensor) -> torch.Tensor:
        """[B, 80, M] to the logarithm of magnitudes [B, M, 321]."""
        x = self.embed(scale_mel(log_mel)).transpose(1, 2)
        for block in self.blocks:
            x = block(x)
        smooth = log_mel.transpose(1, 2).exp() @ self.spreading
        return smooth.clamp_min(1e-5).log() + self.head(x)

    def _invert(self, mel: torch.Tensor, magnitude: torch.Tensor) -> torch.Tensor:
        back = mel @ self.filters.T
        given = magnitude.clamp_min(TINY)
        for _ in range(UPDATES):
            given = self._fit(given, back)
        given = given.clamp_min(TINY)
        spectrum = given * _peak_phases(given)
        dual = torch.zeros_like(spectrum)
        for _ in range(self.iterations):
            mixed = spectrum + dual
            consistent = self._stft(self._istft(mixed))
            ahead = 2 * consistent - (1 - self.rho) * mixed
            found = consistent.abs().clamp_min(TINY) ** self.freedom * given ** (1 - self.freedom)
            spectrum = self._fit(found, back) * ahead / ahead.abs().clamp_min(TINY)
            dual = (mixed - consistent) / (1 + self.rho)
        return self._istft(spectrum)

    def _fit(self, magnitude: torch.Tensor, back: torch.Tensor) -> torch.Tensor:
        return magnitude * back / (magnitude @ self.filters @ self.filters.T).clamp_min(TINY)

    def _stft(self, wave: torch.Tensor) -> torch.Tensor:
        padded = F.pad(wave, (N_FFT // 2, N_FFT // 2 - HOP_LENGTH))
        return torch.fft.rfft(padded.unfold(1, N_FFT, HOP_LENGTH) * self.window)

    def _istft(self, spectrum: torch.Tensor) -> torch.Tensor:
        frames = torch.fft.irfft(spectrum, N_FFT) * self.window
        weight = _overlap_add(self.window.square().expand_as(frames))
        return _overlap_add(frames) / weight.clamp_min(TINY)


def _overlap_add(frames: torch.Tensor) -> torch.Tensor:
    """[B, M, N] to [B, 160 M], the first frame's centre being the first sample."""
    length = HOP_LENGTH * (frames.shape[1] - 1) + N_FFT
    wave = F.fold(frames.transpose(1, 2), (1, length), (1, N_FFT), stride=(1, HOP_LENGTH))[:, 0, 0]
    return wave[:, N_FFT // 2 : N_FFT // 2 + HOP_LENGTH * frames.shape[1]]


def _peak_phases(magnitude: torch.Tensor) -> torch.Tensor:
    """As `v2s_jax/features/peak_phases.py` says: [B, M, K] to complex numbers of length 1."""
    turns = _peak_frequencies(magnitude) * (HOP_LENGTH / N_FFT)
    before = torch.cat([turns[:, :1], turns[:, :-1]], 1)
    total = ((turns + before) / 2).remainder(1).cumsum(1)
    angle = 2 * torch.pi * (total + torch.arange(magnitude.shape[-1], device=total.device) / 2).remainder(1)
    return torch.polar(torch.ones_like(angle), angle)


def _peak_frequencies(magnitude: torch.Tensor) -> torch.Tensor:
    log = magnitude.clamp_min(TINY).log()
    count = log.shape[-1]
    below, above = F.pad(log, (1, 0), value=-torch.inf)[..., :-1], F.pad(log, (0, 1), value=-torch.inf)[..., 1:]
    bins = torch.arange(count, device=log.device)
    peak = (log > below) & (log >= above)
    inside = peak & (bins > 0) & (bins < count - 1)
    bend = torch.where(inside, below - 2 * log + above, -1)
    top = bins + torch.where(inside, ((below - above) / (2 * bend)).clamp(-0.5, 0.5), 0)
    left = torch.where(peak, bins, -count).cummax(-1).values
    right = torch.where(peak, bins, 2 * count).flip(-1).cummin(-1).values.flip(-1)
    nearest = torch.where(bins - left <= right - bins, left, right)
    return top.gather(-1, nearest.clamp(0, count - 1))
