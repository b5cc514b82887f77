"""The denoisers of `models/mel_transformer.py` and `models/dit.py` in PyTorch, for inference, and all by name.

Each is called with noisy stacked mel x_t [B, T, C], times [B] in [0, 1], a condition [B, T, K] and a mask [B, T], True
where there is a frame; each gives a prediction [B, T, C], meaningless at the other frames.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from v2s_jax.interop.torch.avhubert import Encoder
from v2s_jax.interop.torch.time_embedding import TimeEmbedding
from v2s_jax.interop.torch.unet1d import UNet1d
from v2s_jax.models.constants import ROTARY_BASE


class MelTransformer(nn.Module):
    """DiffV2S's decoder; its transformer has the keys of fairseq's.

    Args:
        config: the `decoder` section.
    """

    def __init__(self, config: Mapping[str, Any]):
        super().__init__()
        self.join = nn.Linear(config["channels"] + config["condition"], config["width"])
        self.time = TimeEmbedding(config["width"])
        self.encoder = Encoder(config)
        self.out = nn.Linear(config["width"], config["channels"])

    def forward(
        self, x_t: torch.Tensor, time: torch.Tensor, condition: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        """The prediction."""
        x = self.join(torch.cat([x_t, condition], -1)) + self.time(time)[:, None]
        return self.out(self.encoder(x, mask))


def rotate(x: torch.Tensor) -> torch.Tensor:
    """Turns each pair of channels (i, i + d/2) of [B, H, T, d] at the frame t by the angle t * base^(-2i/d)."""
    frames, half = x.shape[-2], x.shape[-1] // 2
    turns = ROTARY_BASE ** (-torch.arange(half, device=x.device) / half)
    angles = torch.arange(frames, device=x.device)[:, None] * turns
    cos, sin = angles.cos(), angles.sin()
    left, right = x.chunk(2, -1)
    return torch.cat([left * cos - right * sin, left * sin + right * cos], -1)


def modulated(x: torch.Tensor, shift: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Frames [B, T, D], normalised without weights of the norm's own, scaled and shifted."""
    return F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift


class Block(nn.Module):
    """Attention and a feed-forward part, each modulated and gated by the time."""

    def __init__(self, width: int, hidden: int, heads: int):
        super().__init__()
        self.heads = heads
        self.modulate, self.qkv = nn.Linear(width, 6 * width), nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.widen, self.narrow = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: torch.Tensor, time: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Frames [B, T, D] after this block; `time` [B, D] is embedded."""
        shift_a, scale_a, gate_a, shift_f, scale_f, gate_f = self.modulate(time)[:, None].chunk(6, -1)
        x = x + gate_a * self._attend(modulated(x, shift_a, scale_a), mask)
        hidden = F.gelu(self.widen(modulated(x, shift_f, scale_f)), approximate="tanh")
        return x + gate_f * self.narrow(hidden)

    def _attend(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        query, key, value = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
        read = F.scaled_dot_product_attention(rotate(query), rotate(key), value, attn_mask=mask[:, None, None])
        return self.out(read.transpose(1, 2).flatten(2))


class DiT(nn.Module):
    """A diffusion transformer with adaLN-zero and rotary positions.

    Args:
        config: the `decoder` section.
    """

    def __init__(self, config: Mapping[str, Any]):
        super().__init__()
        width = config["width"]
        self.join = nn.Linear(config["channels"] + config["condition"], width)
        self.time = TimeEmbedding(width)
        self.layers = nn.ModuleList(Block(width, config["hidden"], config["heads"]) for _ in range(config["layers"]))
        self.modulate = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, config["channels"])

    def forward(
        self, x_t: torch.Tensor, time: torch.Tensor, condition: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        """The prediction."""
        x, embedded = self.join(torch.cat([x_t, condition], -1)), F.silu(self.time(time))
        for layer in self.layers:
            x = layer(x, embedded, mask)
        return self.out(modulated(x, *self.modulate(embedded)[:, None].chunk(2, -1)))


DENOISERS = {"mel_transformer": MelTransformer, "dit": DiT, "unet1d": UNet1d}
