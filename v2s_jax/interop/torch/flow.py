"""Flow matching in PyTorch: what `v2s_jax/generative` samples along conditional optimal-transport paths.

x_t = (1 - (1 - sigma_min) t) x_0 + t x_1, with noise x_0 at t = 0 and data x_1 at t = 1 (Lipman et al. 2023, arXiv
2210.02747).
"""

import itertools
from collections.abc import Callable

import numpy as np
import torch

from v2s_jax.interop.torch.diffusion import Denoiser


def uniform(steps: int) -> np.ndarray:
    """Equal steps in t."""
    return np.linspace(0, 1, steps + 1)


def sway(steps: int) -> np.ndarray:
    """F5-TTS's sway sampling with a coefficient of -1 (Chen et al. 2024, arXiv 2410.06885): denser near the noise."""
    return 1 - np.cos(np.pi / 2 * uniform(steps))


GRIDS: dict[str, Callable[[int], np.ndarray]] = {"uniform": uniform, "sway": sway}
# The velocity that a prediction of each kind stands for, of (prediction, x_t, 1 - sigma_min, share of noise in x_t).
KINDS: dict[str, Callable[[torch.Tensor, torch.Tensor, float, float], torch.Tensor]] = {
    "velocity": lambda velocity, x_t, slope, sigma: velocity,
    "x_1": lambda x_1, x_t, slope, sigma: (x_1 - slope * x_t) / sigma,
}


def euler(denoiser: Denoiser, noise: torch.Tensor, sigma_min: float, kind: str, times: np.ndarray) -> torch.Tensor:
    """Data from noise along tangents, by an evaluation of the network at each time but the last.

    Args:
        denoiser: the network, conditions and all.
        noise: standard normal, [B, ...].
        sigma_min: noise left at t = 1.
        kind: what the network predicts, of `KINDS`.
        times: by one of `GRIDS`.
    """
    x, slope = noise.float(), 1 - sigma_min
    for t, s in itertools.pairwise(times.tolist()):
        prediction = denoiser(x, x.new_full((len(x),), t))
        x = x + (s - t) * KINDS[kind](prediction, x, slope, 1 - slope * t)
    return x
