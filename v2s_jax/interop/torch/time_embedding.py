"""How the denoisers know the time, in PyTorch: `models/time_embedding.py`."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from v2s_jax.models.constants import LONGEST, TIME_STEPS


class TimeEmbedding(nn.Module):
    """Cosines and sines of a time, and two dense layers."""

    def __init__(self, width: int):
        super().__init__()
        self.widen, self.out = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, time: torch.Tensor) -> torch.Tensor:
        """[B] to [B, D]."""
        half = self.widen.in_features // 2
        frequencies = torch.exp(-math.log(LONGEST) * torch.arange(half, device=time.device) / half)
        angles = TIME_STEPS * time.float()[:, None] * frequencies
        return self.out(F.silu(self.widen(torch.cat([angles.cos(), angles.sin()], -1))))
