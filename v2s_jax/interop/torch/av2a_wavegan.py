"""AV2A-WaveGAN in PyTorch (arXiv 2307.16584): what `systems/av2a_wavegan.py` synthesizes."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from v2s_jax.constants import SAMPLES_PER_FRAME
from v2s_jax.features.filters import scale_mel
from v2s_jax.interop.torch.av2a import AV2A, ModalityBatchNorm
from v2s_jax.interop.torch.clips import log_mel


class Stretch(nn.Module):
    """A transposed convolution with exactly `rate` output steps an input step, then batch norm and ReLU."""

    def __init__(self, width_in: int, width: int, rate: int):
        super().__init__()
        taps = 2 * rate + rate % 2  # so that as much is cut off on both sides
        self.conv = nn.ConvTranspose1d(width_in, width, taps, rate, padding=(taps - rate) // 2, bias=False)
        self.norm = ModalityBatchNorm(width)

    def forward(self, x: torch.Tensor, mask: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        """[B, width, rate * T] of [B, I, T], of which the steps count where `mask` [B, T] is True."""
        return torch.relu(self.norm(self.conv(x * mask[:, None]), state))


class WaveGenerator(nn.Module):
    """Features to a waveform; what stands beyond a clip's end changes nothing before it.

    Args:
        rates: of the stages.
        channels: that each gives.
        width: of the features.
    """

    def __init__(self, rates: tuple[int, ...], channels: tuple[int, ...], width: int):
        super().__init__()
        self.rates = tuple(rates)
        sizes = zip((width, *channels[:-1]), channels, rates, strict=True)
        self.stages = nn.ModuleList([Stretch(*size) for size in sizes])
        self.last = nn.Conv1d(channels[-1], 1, 7, padding=3)

    def forward(self, x: torch.Tensor, mask: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        """The waveform [B, 640 T] of features [B, T, width], silent where `mask` [B, T] is False."""
        x = x.transpose(1, 2)
        for stage, rate in zip(self.stages, self.rates, strict=True):
            x = stage(x, mask, state)
            mask = mask.repeat_interleave(rate, 1)
        return torch.tanh(self.last(x * mask[:, None])[:, 0]) * mask


class AV2AWaveGAN(AV2A):
    """Video, a draft or both (and, if the config says so, a speaker embedding) to a waveform at 16 kHz.

    Its arguments are those of `AV2A`, and `forward` gives [B, 640 T], silent beyond each clip's length.
    """

    def __init__(self, config: Mapping[str, Any]):
        super().__init__(config)
        del self.head
        self.generator = WaveGenerator(**config["generator"], width=config["width"])

    @classmethod
    def bases(cls) -> dict[str, type[nn.Module]]:
        """What may draft, by the name of its system."""
        return {"av2a_wavegan": cls}

    def begin(self, mel: torch.Tensor, say: Callable[[torch.Tensor], torch.Tensor]) -> tuple[int, torch.Tensor]:
        """A waveform begins with the first that is made of what was brought."""
        return 2, say(mel)

    def speak(self, x: torch.Tensor, mask: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        """The waveform of features [B, T, width]."""
        return self.generator(x, mask, state)

    def hear(self, speech: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
        """Its scaled log-mel."""
        return scale_mel(log_mel(speech, SAMPLES_PER_FRAME * length))

    def take(self, draft: torch.Tensor) -> torch.Tensor:
        """The waveform as it is."""
        return draft

    def finish(self, speech: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """The waveform as it is: the generator is silent beyond the end."""
        return speech
