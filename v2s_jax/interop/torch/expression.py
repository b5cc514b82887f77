"""The encoder of facial expression of `models/expression.py` in PyTorch."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from v2s_jax.interop.torch.spectral import Block
from v2s_jax.models.constants import EXPRESSION_BLOCKS, EXPRESSION_TAPS


class ExpressionEncoder(nn.Module):
    """Grey faces to one vector a frame.

    Args:
        channels: of the convolutions over the picture.
        width: of the vectors.
    """

    def __init__(self, channels: Sequence[int], width: int):
        super().__init__()
        sizes = zip((1, *channels[:-1]), channels, strict=True)
        self.convs = nn.ModuleList(nn.Conv2d(i, o, 3, 2, padding=1, bias=False) for i, o in sizes)
        self.norms = nn.ModuleList(nn.GroupNorm(1, width) for width in channels)
        self.project = nn.Linear(channels[-1], width)
        self.blocks = nn.ModuleList(Block(width, 2 * width, EXPRESSION_TAPS) for _ in range(EXPRESSION_BLOCKS))

    def forward(self, faces: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Encodes every frame.

        Args:
            faces: normalised pictures, [B, T, 48, 48].
            mask: True where there is a frame, [B, T].

        Returns:
            [B, T, D]; what stands at padded frames is meaningless.
        """
        x = faces.masked_fill(~mask[..., None, None], 0.0).flatten(0, 1)[:, None]
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.relu(norm(conv(x)))
        x = self.project(x.mean((2, 3))).unflatten(0, mask.shape)
        for block in self.blocks:
            x = block(x.masked_fill(~mask[..., None], 0.0))
        return x
