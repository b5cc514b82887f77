"""The denoiser of `models/unet1d.py` in PyTorch, for inference; called as the others in `denoisers.py` are."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from v2s_jax.interop.torch.time_embedding import TimeEmbedding


def hold(x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Frames [B, T, D], zero where `mask` [B, T] is False."""
    return x.masked_fill(~mask[..., None], 0.0)


class MaskedGroupNorm(nn.Module):
    """Group norm over the frames that each clip has."""

    def __init__(self, width: int, groups: int):
        super().__init__()
        self.groups = groups
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """[B, T, D] to the same."""
        grouped, valid = x.unflatten(-1, (self.groups, -1)), mask[..., None, None]
        count = valid.sum(1, keepdim=True).clamp_min(1) * grouped.shape[-1]

        def mean(x: torch.Tensor) -> torch.Tensor:
            return x.masked_fill(~valid, 0.0).sum((1, 3), keepdim=True) / count

        grouped = grouped - mean(grouped)
        grouped = grouped * (mean(grouped.square()) + 1e-5).rsqrt()
        return grouped.flatten(2) * self.weight + self.bias


class Conv(nn.Conv1d):
    """Three taps over [B, T, D], of which frames outside the mask are read as zeros."""

    def __init__(self, width_in: int, width: int, stride: int = 1):
        super().__init__(width_in, width, 3, stride, padding=1)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        """[B, T, I] to [B, ceil(T / stride), O]."""
        return super().forward(hold(x, mask).transpose(1, 2)).transpose(1, 2)


class Stretch(nn.ConvTranspose1d):
    """Four taps and stride 2, masked likewise."""

    def __init__(self, width: int):
        super().__init__(width, width, 4, 2, padding=1)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        """[B, T, D] to [B, 2T, D]."""
        return super().forward(hold(x, mask).transpose(1, 2)).transpose(1, 2)


class ResBlock(nn.Module):
    """Convolution, norm and Mish, twice, the time added between; plus the input."""

    def __init__(self, width_in: int, width: int, time: int, groups: int):
        super().__init__()
        self.conv1, self.norm1 = Conv(width_in, width), MaskedGroupNorm(width, groups)
        self.conv2, self.norm2 = Conv(width, width), MaskedGroupNorm(width, groups)
        self.time, self.skip = nn.Linear(time, width), nn.Linear(width_in, width)

    def forward(self, x: torch.Tensor, time: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """[B, T, I] to [B, T, O]; `time` [B, K] is embedded."""
        y = F.mish(self.norm1(self.conv1(x, mask), mask)) + self.time(time)[:, None]
        return self.skip(x) + F.mish(self.norm2(self.conv2(y, mask), mask))


class SnakeBeta(nn.Module):
    """x + sin^2(a x) / b, a and b learned as logarithms."""

    def __init__(self, width: int):
        super().__init__()
        self.alpha, self.beta = nn.Parameter(torch.zeros(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, T, D] to the same."""
        return x + (self.alpha.exp() * x).sin().square() / self.beta.exp()


class AttentionBlock(nn.Module):
    """Self-attention and a feed-forward part with snakes, each of normed frames and added to them."""

    def __init__(self, width: int, config: Mapping[str, Any]):
        super().__init__()
        self.heads, inner, hidden = config["heads"], config["heads"] * config["head_dim"], config["expansion"] * width
        self.attention_norm, self.final_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * inner, bias=False), nn.Linear(inner, width)
        self.widen, self.snake, self.narrow = nn.Linear(width, hidden), SnakeBeta(hidden), nn.Linear(hidden, width)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """[B, T, D] to the same."""
        parts = self.qkv(self.attention_norm(x)).chunk(3, -1)
        query, key, value = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        read = F.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None, None])
        x = x + self.out(read.transpose(1, 2).flatten(2))
        return x + self.narrow(self.snake(self.widen(self.final_norm(x))))


class Level(nn.Module):
    """What happens at one rate."""

    def __init__(self, width_in: int, width: int, config: Mapping[str, Any]):
        super().__init__()
        self.mix = ResBlock(width_in, width, config["widths"][0], config["groups"])
        self.blocks = nn.ModuleList(AttentionBlock(width, config) for _ in range(config["blocks"]))

    def forward(self, x: torch.Tensor, time: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """[B, T, I] to [B, T, O]."""
        x = self.mix(x, time, mask)
        for block in self.blocks:
            x = block(x, mask)
        return x


class UNet1d(nn.Module):
    """A U-Net over time of convolutions and transformer blocks.

    Args:
        config: the `decoder` section.
    """

    def __init__(self, config: Mapping[str, Any]):
        super().__init__()
        widths, self.unstack = tuple(config["widths"]), config["unstack"]
        first, bins, last = widths[0], config["channels"] // self.unstack, len(widths) - 1
        self.see = nn.Linear(config["condition"], self.unstack * first)
        self.time = TimeEmbedding(first)
        ins, outs = (bins + first, *widths[:-1]), (*widths[-2::-1], first)
        self.down = nn.ModuleList(Level(i, o, config) for i, o in zip(ins, widths, strict=True))
        self.shrink = nn.ModuleList(Conv(w, w, 1 if i == last else 2) for i, w in enumerate(widths))
        self.middle = nn.ModuleList(Level(widths[-1], widths[-1], config) for _ in range(config["middle"]))
        self.up = nn.ModuleList(Level(2 * i, o, config) for i, o in zip(widths[::-1], outs, strict=True))
        self.grow = nn.ModuleList([*(Stretch(w) for w in outs[:-1]), Conv(first, first)])
        self.conv, self.norm = Conv(first, first), MaskedGroupNorm(first, config["groups"])
        self.out = nn.Linear(first, bins)

    def forward(
        self, x_t: torch.Tensor, time: torch.Tensor, condition: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        """The prediction."""
        steps = mask.shape[1] * self.unstack
        seen = self.see(condition).unflatten(-1, (self.unstack, -1)).flatten(1, 2)
        more = -steps % 2 ** (len(self.down) - 1)
        x = F.pad(torch.cat([x_t.unflatten(-1, (self.unstack, -1)).flatten(1, 2), seen], -1), (0, 0, 0, more))
        valid = F.pad(mask.repeat_interleave(self.unstack, 1), (0, more), value=False)
        x = self._run(x, F.mish(self.time(time)), valid)
        x = F.mish(self.norm(self.conv(x, valid), valid))
        return self.out(x[:, :steps]).unflatten(1, (-1, self.unstack)).flatten(2)

    def _run(self, x: torch.Tensor, time: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        masks, kept = [mask], []
        for level, shrink in zip(self.down, self.shrink, strict=True):
            kept.append(level(x, time, masks[-1]))
            x = shrink(kept[-1], masks[-1])
            masks.append(masks[-1] if len(kept) == len(self.down) else masks[-1][:, ::2])
        masks.pop()
        for level in self.middle:
            x = level(x, time, masks[-1])
        for level, grow in zip(self.up, self.grow, strict=True):
            mask = masks.pop()
            x = grow(level(torch.cat([x, kept.pop()], -1), time, mask), mask)
        return x
