"""The layer norm of `models/conditional_norm.py` in PyTorch."""

import torch
from torch import nn

from v2s_jax.interop.torch.denoisers import modulated


class ConditionalLayerNorm(nn.Module):
    """Layer norm with a scale and a shift that are linear in a condition.

    Args:
        width: of the frames.
        condition: width of the condition.
    """

    def __init__(self, width: int, condition: int):
        super().__init__()
        self.modulate = nn.Linear(condition, 2 * width)

    def forward(self, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Frames [B, T, D] with a condition [B, K] of each row."""
        scale, shift = self.modulate(condition)[:, None].chunk(2, -1)
        return modulated(x, shift, scale)
