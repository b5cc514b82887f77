"""PyTorch's side of `v2s-jax bench models`: the twins of our models, run and trained as its users would."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from ml_collections import ConfigDict
from torch import nn
from torch.nn import functional as F

from v2s_jax.constants import HOP_LENGTH, N_FFT
from v2s_jax.features.filters import mel_filters
from v2s_jax.interop.torch import load

_LEARNING_RATE = 1e-4


class Twin:
    """An exported model in PyTorch.

    Args:
        folder: the export.
    """

    def __init__(self, folder: Path):
        self.module = load(folder)

    def forward(self, inputs: tuple[np.ndarray, ...]) -> Any:
        """A call that runs the model on these arrays, without gradients."""
        tensors = [torch.from_numpy(array) for array in inputs]

        def run():
            with torch.inference_mode():
                return self.module(*tensors).numpy()

        return run

    def step(self, inputs: tuple[np.ndarray, ...], method: str) -> Any:
        """A call that trains the model for a step, as `bench_models.training_step` does."""
        module = self.module.train()
        optimizer = torch.optim.AdamW(module.parameters(), _LEARNING_RATE)
        tensors = [torch.from_numpy(array) for array in inputs]

        def run():
            optimizer.zero_grad()
            loss = getattr(module, method)(*tensors).square().mean()
            loss.backward()
            optimizer.step()
            return loss.item()

        return run


def gan_step(folder: Path, config: ConfigDict, wave: np.ndarray) -> Any:
    """A call that trains an exported generator and its critics for a step each, as the hifigan system does."""
    system: Any = load(folder).train()
    real = torch.from_numpy(wave)
    log_mel = _LogMel()
    critics = [*system.mpd.parameters(), *system.msd.parameters()]
    generator, critic = (
        torch.optim.AdamW(own, _LEARNING_RATE, weight_decay=0.0) for own in (system.generator.parameters(), critics)
    )

    def run():
        mel = log_mel(real)
        fake = system.generator(mel)[:, 0, : real.shape[1]]
        critic.zero_grad()
        verdicts = [(_judge(system, wave), want) for wave, want in ((real, 1.0), (fake.detach(), 0.0))]
        sum((want - verdict).square().mean() for found, want in verdicts for verdict, _ in found).backward()
        critic.step()
        generator.zero_grad()
        loss = config.system.mel_weight * (log_mel(fake) - mel).abs().mean()
        for (_, reals), (verdict, fakes) in zip(_judge(system, real), _judge(system, fake), strict=True):
            pairs = zip(reals, fakes, strict=True)
            loss = loss + config.system.feature_weight * sum((r.detach() - f).abs().mean() for r, f in pairs)
            loss = loss + (1 - verdict).square().mean()
        loss.backward()
        generator.step()
        return loss.item()

    return run


def _judge(system: Any, wave: torch.Tensor) -> list[tuple[torch.Tensor, list[torch.Tensor]]]:
    return [*system.mpd(wave[:, None]), *system.msd(wave[:, None])]


class _LogMel(nn.Module):
    """This project's log-mel, [B, n] to [B, 80, n // 160]."""

    def __init__(self):
        super().__init__()
        self.filters = torch.from_numpy(mel_filters().T.copy())
        self.window = torch.hann_window(N_FFT)

    def forward(self, wave: torch.Tensor) -> torch.Tensor:
        spectrum = torch.stft(
            F.pad(wave[:, None], (N_FFT // 2, N_FFT // 2), "reflect")[:, 0],
            *(N_FFT, HOP_LENGTH, N_FFT),
            window=self.window,
            center=False,
            return_complex=True,
        )
        power = torch.view_as_real(spectrum)[..., : wave.shape[1] // HOP_LENGTH, :].square().sum(-1)
        return torch.log((self.filters @ power.clamp_min(1e-14).sqrt()).clamp_min(1e-5))
