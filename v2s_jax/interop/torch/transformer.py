"""What AV-HuBERT's and HuBERT's encoders share in PyTorch; the two differ in their keys and so in their modules."""

import torch
from torch import nn
from torch.nn import functional as F


class PositionalConv(nn.Module):
    """Grouped convolution over time with a weight norm for each tap, under fairseq's key names."""

    def __init__(self, width: int, size: int, groups: int):
        super().__init__()
        self.groups, self.size = groups, size
        self.bias = nn.Parameter(torch.zeros(width))
        self.weight_g = nn.Parameter(torch.ones(1, 1, size))
        self.weight_v = nn.Parameter(torch.randn(width, width // groups, size))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, D, T] to [B, D, T + 1] where the number of taps is even, as many steps as given where it is odd."""
        norm = torch.linalg.vector_norm(self.weight_v, dim=(0, 1), keepdim=True)
        weight = self.weight_v * (self.weight_g / norm)
        return F.conv1d(x, weight, self.bias, padding=self.size // 2, groups=self.groups)


def add_positions(conv: nn.Module, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Frames [B, T, D], zero where `mask` [B, T] is False, plus the GELU of their convolution over time."""
    x = x.masked_fill(~mask[..., None], 0.0)
    positions = conv(x.transpose(1, 2))[..., : x.shape[1]]  # an even kernel gives one too many
    return x + F.gelu(positions).transpose(1, 2)


class Attention(nn.Module):
    """Self-attention; `fairseq` and `transformers` name its four layers alike."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.k_proj, self.v_proj, self.q_proj, self.out_proj = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """What frames [B, T, D] read of one another; those where `mask` is False are not read.

        Args:
            x: frames.
            mask: of all that read, [B, T], or of each, [B, T, T].
        """
        query, key, value = (
            layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer in (self.q_proj, self.k_proj, self.v_proj)
        )
        readable = mask[:, None, None] if mask.ndim == 2 else mask[:, None]
        read = F.scaled_dot_product_attention(query, key, value, attn_mask=readable)
        return self.out_proj(read.transpose(1, 2).flatten(2))


def run_layers(
    layers: nn.ModuleList, norm: nn.Module, x: torch.Tensor, mask: torch.Tensor, layer: int | None, norm_first: bool
) -> torch.Tensor:
    """Frames after the first `layer` layers, or after all and, where the layers are pre-norm, the last norm."""
    for block in layers[:layer]:
        x = block(x, mask)
    return norm(x) if layer is None and norm_first else x
