"""The conformer encoder in PyTorch: what `models/conformer.py` computes, part by part under the same names."""

import math
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from v2s_jax.models.constants import LONGEST

Norm = Callable[[int], nn.Module]  # a batch norm of some width


def relative_positions(frames: int, width: int, device: torch.device) -> torch.Tensor:
    """Sinusoids of the distances T-1 ... -(T-1), sine and cosine interleaved: float32, [2T-1, width]."""
    distance = torch.arange(frames - 1, -frames, -1, dtype=torch.float64)[:, None]
    angle = distance * torch.exp(-math.log(LONGEST) * torch.arange(0, width, 2, dtype=torch.float64) / width)
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(1).to(device, torch.float32)


def relative_shift(scores: torch.Tensor) -> torch.Tensor:
    """Scores by distance [B, H, T, 2T-1], from T-1 down, to scores by key [B, H, T, T]."""
    batch, heads, frames, distances = scores.shape
    padded = functional.pad(scores, (1, 0))
    return padded.view(batch, heads, distances + 1, frames)[:, :, 1:].reshape(scores.shape)[..., :frames]


class FeedForward(nn.Module):
    """Norm, widen, swish, narrow."""

    def __init__(self, width: int, hidden: int, dropout: float):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.widen = nn.Linear(width, hidden)
        self.narrow = nn.Linear(hidden, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The update, without the residual."""
        return self.dropout(self.narrow(self.dropout(functional.silu(self.widen(self.norm(x))))))


class RelativeAttention(nn.Module):
    """Self-attention whose scores add a learned function of the distance."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.heads, self.head_dim = heads, width // heads
        self.norm = nn.LayerNorm(width)
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.position = nn.Linear(width, width, bias=False)
        self.bias_u = nn.Parameter(torch.zeros(heads, self.head_dim))
        self.bias_v = nn.Parameter(torch.zeros(heads, self.head_dim))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """The update, without the residual; keys where `mask` [B, T] is False are not read."""
        batch, frames, width = x.shape
        x = self.norm(x)
        query, key, value = (
            layer(x).view(batch, frames, self.heads, self.head_dim) for layer in (self.query, self.key, self.value)
        )
        position = self.position(relative_positions(frames, width, x.device)).view(-1, self.heads, self.head_dim)
        content = torch.einsum("bthd,bshd->bhts", query + self.bias_u, key)
        distance = relative_shift(torch.einsum("bthd,rhd->bhtr", query + self.bias_v, position))
        scores = (content + distance) * self.head_dim**-0.5
        weights = scores.masked_fill(~mask[:, None, None], -1e9).softmax(-1)
        read = torch.einsum("bhts,bshd->bthd", self.dropout(weights), value)
        return self.dropout(self.out(read.reshape(batch, frames, width)))


class ConvModule(nn.Module):
    """Norm, gated pointwise, depthwise over time, batch norm, swish, pointwise."""

    def __init__(self, width: int, kernel_size: int, dropout: float, norm: Norm = nn.BatchNorm1d):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.gate = nn.Linear(width, 2 * width)
        self.depthwise = nn.Conv1d(width, width, kernel_size, padding=kernel_size // 2, groups=width, bias=False)
        self.depthwise_norm = norm(width)
        self.out = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor, mask: torch.Tensor, state: torch.Tensor | None = None) -> torch.Tensor:
        """The update, without the residual; padded frames do not reach their neighbours."""
        y = functional.glu(self.gate(self.norm(x))) * mask[..., None]
        given = () if state is None else (state,)
        y = functional.silu(self.depthwise_norm(self.depthwise(y.transpose(1, 2)), *given)).transpose(1, 2)
        return self.dropout(self.out(y))


class ConformerBlock(nn.Module):
    """Half feed-forward, attention, convolution, half feed-forward, norm."""

    def __init__(
        self, width: int, heads: int, hidden: int, kernel_size: int, dropout: float, norm: Norm = nn.BatchNorm1d
    ):
        super().__init__()
        self.feed_forward1 = FeedForward(width, hidden, dropout)
        self.attention = RelativeAttention(width, heads, dropout)
        self.conv = ConvModule(width, kernel_size, dropout, norm)
        self.feed_forward2 = FeedForward(width, hidden, dropout)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: torch.Tensor, mask: torch.Tensor, state: torch.Tensor | None = None) -> torch.Tensor:
        """One block, residuals included."""
        x = x + 0.5 * self.feed_forward1(x)
        x = x + self.attention(x, mask)
        x = x + self.conv(x, mask, state)
        return self.norm(x + 0.5 * self.feed_forward2(x))


class Conformer(nn.Module):
    """A stack of conformer blocks over frames of one width; batch norm does not know of padding when training."""

    def __init__(
        self,
        blocks: int,
        width: int,
        heads: int,
        hidden: int,
        kernel_size: int,
        dropout: float,
        norm: Norm = nn.BatchNorm1d,
    ):
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        sizes = width, heads, hidden, kernel_size, dropout
        self.blocks = nn.ModuleList([ConformerBlock(*sizes, norm) for _ in range(blocks)])

    def forward(self, x: torch.Tensor, mask: torch.Tensor, state: torch.Tensor | None = None) -> torch.Tensor:
        """Encodes frames [B, T, width]; `mask` [B, T] is True where there is one, `state` [B] is for the norms."""
        x = self.dropout(x)
        for block in self.blocks:
            x = block(x, mask, state)
        return x
