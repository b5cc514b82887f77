"""Classifier-free guidance in PyTorch (Ho and Salimans 2022, arXiv 2207.12598)."""

import torch
from torch import nn

from v2s_jax.interop.torch.diffusion import Denoiser


def guided(decoder: nn.Module, condition: torch.Tensor, mask: torch.Tensor, scale: float) -> Denoiser:
    """The decoder with its condition, led away from what it predicts without; twice as dear unless `scale` is 1.

    Args:
        decoder: of (x_t, t, condition, mask), trained with conditions left out, which is to say 0.
        condition: of each frame, [B, T, K].
        mask: True where there is a frame, [B, T].
        scale: 1 for no guidance.
    """
    if scale == 1:
        return lambda x_t, t: decoder(x_t, t, condition, mask)
    both, masks = torch.cat([torch.zeros_like(condition), condition]), mask.repeat(2, 1)

    def denoise(x_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        free, given = decoder(x_t.repeat(2, 1, 1), t.repeat(2), both, masks).chunk(2)
        return free + scale * (given - free)

    return denoise
