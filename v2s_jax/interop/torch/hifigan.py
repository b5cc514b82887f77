"""HiFi-GAN in PyTorch (Kong et al. 2020, arXiv 2010.05646) under the original's key names: generator and critics.

Weight and spectral norm are written out here, with `weight_g`, `weight_v`, `weight_orig` and `weight_u` as plain
parameters and buffers: PyTorch's own hooks of these names are deprecated, and its successors have other names.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

_SLOPE, _LAST_SLOPE = 0.1, 0.01
_SCALE_CONVS = ((15, 1), (41, 2), (41, 2), (41, 4), (41, 4), (41, 1), (5, 1))  # taps and stride


class WeightNorm(nn.Module):
    """A weight `g * v / ||v||`, the norm over all axes but the first.

    Args:
        shape: of the weight.
        width_out: length of the bias.
        fan_in: for the first weights.
    """

    def __init__(self, shape: Sequence[int], width_out: int, fan_in: int):
        super().__init__()
        bound = fan_in**-0.5
        self.bias = nn.Parameter(torch.empty(width_out).uniform_(-bound, bound))
        self.weight_v = nn.Parameter(torch.empty(*shape).uniform_(-bound, bound))
        self.weight_g = nn.Parameter(self._norm().detach())

    def _norm(self) -> torch.Tensor:
        return torch.linalg.vector_norm(self.weight_v, dim=tuple(range(1, self.weight_v.ndim)), keepdim=True)

    def weight(self) -> torch.Tensor:
        """The weight, of the shape given."""
        return self.weight_v * (self.weight_g / self._norm())


class Conv(WeightNorm):
    """Convolution over time; the default padding keeps the length."""

    def __init__(self, width_in: int, width_out: int, taps: int, stride: int = 1, dilation: int = 1, groups: int = 1):
        super().__init__((width_out, width_in // groups, taps), width_out, width_in // groups * taps)
        self.options: dict[str, Any] = dict(
            stride=stride, padding=(taps - 1) * dilation // 2, dilation=dilation, groups=groups
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, I, T] to [B, O, t]."""
        return F.conv1d(x, self.weight(), self.bias, **self.options)


class ConvTranspose(WeightNorm):
    """Transposed convolution over time."""

    def __init__(self, width_in: int, width_out: int, taps: int, stride: int):
        super().__init__((width_in, width_out, taps), width_out, width_out * taps)
        self.stride, self.padding = stride, (taps - stride) // 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, I, T] to [B, O, t]."""
        return F.conv_transpose1d(x, self.weight(), self.bias, self.stride, self.padding)


class PeriodConv(WeightNorm):
    """Convolution over the rows of a folded waveform."""

    def __init__(self, width_in: int, width_out: int, taps: int, stride: int):
        super().__init__((width_out, width_in, taps, 1), width_out, width_in * taps)
        self.stride, self.padding = stride, taps // 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, I, T, period] to [B, O, t, period]."""
        return F.conv2d(x, self.weight(), self.bias, (self.stride, 1), (self.padding, 0))


class SpectralNormConv(nn.Module):
    """Convolution over time, its weight divided by its largest singular value."""

    weight_u: torch.Tensor
    weight_v: torch.Tensor

    def __init__(self, width_in: int, width_out: int, taps: int, stride: int = 1, groups: int = 1):
        super().__init__()
        fan_in = width_in // groups * taps
        self.bias = nn.Parameter(torch.empty(width_out).uniform_(-(fan_in**-0.5), fan_in**-0.5))
        self.weight_orig = nn.Parameter(
            torch.empty(width_out, width_in // groups, taps).uniform_(-(fan_in**-0.5), fan_in**-0.5)
        )
        self.register_buffer("weight_u", F.normalize(torch.randn(width_out), dim=0))
        self.register_buffer("weight_v", F.normalize(self.weight_orig.detach().flatten(1).T @ self.weight_u, dim=0))
        self.options: dict[str, Any] = dict(stride=stride, padding=taps // 2, groups=groups)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, I, T] to [B, O, t]; in training mode, one power iteration first."""
        matrix = self.weight_orig.flatten(1)
        if self.training:
            with torch.no_grad():
                self.weight_v.copy_(F.normalize(matrix.T @ self.weight_u, dim=0))
                self.weight_u.copy_(F.normalize(matrix @ self.weight_v, dim=0))
        largest = self.weight_u.clone() @ matrix @ self.weight_v.clone()
        return F.conv1d(x, self.weight_orig / largest, self.bias, **self.options)


class ResBlock(nn.Module):
    """Dilated convolutions, each added to what it read; in kind "1" each is followed by a plain one."""

    def __init__(self, kind: str, width: int, taps: int, dilations: Sequence[int]):
        super().__init__()
        self.kind = kind
        dilated = nn.ModuleList(Conv(width, width, taps, dilation=dilation) for dilation in dilations)
        if kind == "1":
            self.convs1 = dilated
            self.convs2 = nn.ModuleList(Conv(width, width, taps) for _ in dilations)
        else:
            self.convs = dilated

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, T] to the same, residuals included."""
        for chain in zip(self.convs1, self.convs2, strict=True) if self.kind == "1" else zip(self.convs, strict=True):
            y = x
            for conv in chain:
                y = conv(F.leaky_relu(y, _SLOPE))
            x = x + y
        return x


class Generator(nn.Module):
    """Log-mel to waveform.

    Args:
        config: the `model` section of config.json, or the original's config.json.
    """

    def __init__(self, config: Mapping[str, Any]):
        super().__init__()
        width, self.hop = config["upsample_initial_channel"], math.prod(config["upsample_rates"])
        self.conv_pre = Conv(config["num_mels"], width, 7)
        self.ups, self.resblocks = nn.ModuleList(), nn.ModuleList()
        self.blocks_per_stage = len(config["resblock_kernel_sizes"])
        for rate, size in zip(config["upsample_rates"], config["upsample_kernel_sizes"], strict=True):
            self.ups.append(ConvTranspose(width, width // 2, size, rate))
            width //= 2
            for taps, dilations in zip(config["resblock_kernel_sizes"], config["resblock_dilation_sizes"], strict=True):
                self.resblocks.append(ResBlock(config["resblock"], width, taps, dilations))
        self.conv_post = Conv(width, 1, 7)

    def forward(self, log_mel: torch.Tensor) -> torch.Tensor:
        """[B, num_mels, M] to [B, 1, hop * M], in [-1, 1]; what odd kernels give beyond is cut off, as in JAX."""
        x = self.conv_pre(log_mel)
        for index, up in enumerate(self.ups):
            x = up(F.leaky_relu(x, _SLOPE))
            blocks = self.resblocks[index * self.blocks_per_stage : (index + 1) * self.blocks_per_stage]
            x = sum(block(x) for block in blocks) / self.blocks_per_stage
        wave = torch.tanh(self.conv_post(F.leaky_relu(x, _LAST_SLOPE)))
        return wave[..., : self.hop * log_mel.shape[-1]]


class PeriodCritic(nn.Module):
    """Looks at every `period`-th sample, separately for each phase."""

    def __init__(self, period: int, channels: Sequence[int]):
        super().__init__()
        self.period = period
        widths = (1, *channels)
        strides = (3,) * (len(channels) - 1) + (1,)
        self.convs = nn.ModuleList(
            PeriodConv(before, after, 5, stride)
            for before, after, stride in zip(widths[:-1], channels, strides, strict=True)
        )
        self.conv_post = PeriodConv(widths[-1], 1, 3, 1)

    def forward(self, wave: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """[B, 1, T] to verdict [B, places] and feature maps [B, C, steps, period]."""
        x = F.pad(wave, (0, -wave.shape[-1] % self.period), "reflect").unflatten(-1, (-1, self.period))
        maps = []
        for conv in self.convs:
            x = F.leaky_relu(conv(x), _SLOPE)
            maps.append(x)
        maps.append(self.conv_post(x))
        return maps[-1].flatten(1), maps


class ScaleCritic(nn.Module):
    """Looks at a stretch of the waveform."""

    def __init__(self, channels: Sequence[int], groups: Sequence[int], spectral: bool):
        super().__init__()
        conv = SpectralNormConv if spectral else Conv
        widths = (1, *channels)
        sizes = zip(widths[:-1], channels, _SCALE_CONVS, groups, strict=True)
        self.convs = nn.ModuleList(
            conv(before, after, taps, stride, groups=split) for before, after, (taps, stride), split in sizes
        )
        self.conv_post = conv(widths[-1], 1, 3)

    def forward(self, wave: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """[B, 1, T] to verdict [B, places] and feature maps [B, C, steps]."""
        x, maps = wave, []
        for conv in self.convs:
            x = F.leaky_relu(conv(x), _SLOPE)
            maps.append(x)
        maps.append(self.conv_post(x))
        return maps[-1].flatten(1), maps


class PeriodCritics(nn.Module):
    """The original's MultiPeriodDiscriminator, for one waveform at a time."""

    def __init__(self, config: Mapping[str, Any]):
        super().__init__()
        self.discriminators = nn.ModuleList(
            PeriodCritic(period, config["period_channels"]) for period in config["periods"]
        )

    def forward(self, wave: torch.Tensor) -> list[tuple[torch.Tensor, list[torch.Tensor]]]:
        """[B, 1, T] to the verdict and feature maps of each critic."""
        return [critic(wave) for critic in self.discriminators]


class ScaleCritics(nn.Module):
    """The original's MultiScaleDiscriminator, for one waveform at a time."""

    def __init__(self, config: Mapping[str, Any]):
        super().__init__()
        self.discriminators = nn.ModuleList(
            ScaleCritic(config["scale_channels"], config["scale_groups"], number == 0)
            for number in range(config["scales"])
        )

    def forward(self, wave: torch.Tensor) -> list[tuple[torch.Tensor, list[torch.Tensor]]]:
        """[B, 1, T] to the verdict and feature maps of each critic."""
        verdicts = []
        for number, critic in enumerate(self.discriminators):
            wave = F.avg_pool1d(wave, 4, 2, padding=2) if number else wave
            verdicts.append(critic(wave))
        return verdicts


class HiFiGAN(nn.Module):
    """A whole hifigan system: the generator (which `forward` runs) and its critics.

    Args:
        config: the `system` section of config.json.
    """

    def __init__(self, config: Mapping[str, Any]):
        super().__init__()
        self.generator = Generator(config["generator"])
        self.mpd, self.msd = PeriodCritics(config["critics"]), ScaleCritics(config["critics"])

    def forward(self, log_mel: torch.Tensor) -> torch.Tensor:
        """[B, num_mels, M] to [B, 1, samples], in [-1, 1]."""
        return self.generator(log_mel)
