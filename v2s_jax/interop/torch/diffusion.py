"""Diffusion in PyTorch: what of `v2s_jax/generative` sampling without fresh noise needs.

x_t = alpha x_0 + sigma eps, with data at t = 0 and noise at t = 1. Schedules are float64 on the host and enter as plain
numbers; the networks and their clips are float32.
"""

import abc
import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch

from v2s_jax.errors import V2SError
from v2s_jax.generative import constants

Denoiser = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # (x_t [B, ...], t [B]) -> prediction [B, ...]
Found = TypeVar("Found")


class Process(abc.ABC):
    """How alpha_bar = alpha^2 = 1 - sigma^2 falls with time."""

    @abc.abstractmethod
    def log_alpha_bar(self, t: np.ndarray) -> np.ndarray:
        """Its logarithm at times."""

    @abc.abstractmethod
    def time(self, log_snr: np.ndarray) -> np.ndarray:
        """Where log(alpha_bar / (1 - alpha_bar)) is this."""


class LinearBetas(Process):
    """DDPM's table of a thousand betas (Ho et al. 2020, arXiv 2006.11239), interpolated."""

    def __init__(self) -> None:
        betas = np.linspace(constants.DDPM_FIRST, constants.DDPM_LAST, constants.DDPM_STEPS)
        self.times = np.linspace(0, 1, constants.DDPM_STEPS + 1)
        self.table = np.concatenate([[0.0], np.cumsum(np.log1p(-betas))])

    def log_alpha_bar(self, t: np.ndarray) -> np.ndarray:
        """See `Process`."""
        return np.interp(t, self.times, self.table)

    def time(self, log_snr: np.ndarray) -> np.ndarray:
        """See `Process`; 1 below the table's range."""
        return np.interp(np.logaddexp(0, -log_snr), -self.table, self.times)


class VPSDE(Process):
    """What that table discretises (Song et al. 2021, arXiv 2011.13456): beta rises from 0.1 to 20."""

    least, rise = constants.VP_LEAST, constants.VP_MOST - constants.VP_LEAST

    def log_alpha_bar(self, t: np.ndarray) -> np.ndarray:
        """See `Process`."""
        return -t * (self.least + t * self.rise / 2)

    def time(self, log_snr: np.ndarray) -> np.ndarray:
        """See `Process`."""
        spent = np.logaddexp(0, -log_snr)
        return 2 * spent / (self.least + np.sqrt(self.least**2 + 2 * self.rise * spent))


class Cosine(Process):
    """alpha is a cosine (Nichol and Dhariwal 2021, arXiv 2102.09672), ending where their clipped steps end."""

    def __init__(self) -> None:
        self.first = constants.COSINE_OFFSET / (1 + constants.COSINE_OFFSET) * math.pi / 2
        self.sweep = math.acos(math.sqrt(constants.COSINE_END) * math.cos(self.first)) - self.first

    def log_alpha_bar(self, t: np.ndarray) -> np.ndarray:
        """See `Process`."""
        return 2 * np.log(np.cos(self.first + t * self.sweep) / math.cos(self.first))

    def time(self, log_snr: np.ndarray) -> np.ndarray:
        """See `Process`."""
        alpha = np.exp(-np.logaddexp(0, -log_snr) / 2)
        return (np.arccos(alpha * math.cos(self.first)) - self.first) / self.sweep


PROCESSES: dict[str, Callable[[], Process]] = {"linear": LinearBetas, "vp_sde": VPSDE, "cosine": Cosine}


class Level(NamedTuple):
    """A time, and how much data and noise there are then."""

    t: float
    alpha: float
    sigma: float
    half_log_snr: float


Memory = tuple[torch.Tensor, float] | None  # the last estimate of the data, and half the log-SNR it was made at
Estimate = Callable[[torch.Tensor, torch.Tensor, Level], tuple[torch.Tensor, torch.Tensor]]
Solver = Callable[[Level, Level, torch.Tensor, torch.Tensor, torch.Tensor, Memory], torch.Tensor]


def levels(process: Process, times: np.ndarray) -> list[Level]:
    """The process at the times; at the data the log-SNR is infinite."""
    log_alpha_bar = process.log_alpha_bar(times)
    lost = -np.expm1(log_alpha_bar)
    with np.errstate(divide="ignore"):
        half = (log_alpha_bar - np.log(lost)) / 2
    return list(itertools.starmap(Level, np.stack([times, np.exp(log_alpha_bar / 2), np.sqrt(lost), half], 1).tolist()))


def uniform(process: Process, steps: int) -> np.ndarray:
    """Equal steps in t."""
    return 1 - np.arange(steps + 1) / steps


def log_snr(process: Process, steps: int) -> np.ndarray:
    """Equal steps in log-SNR, but for the last one."""
    first, last = (2 * level.half_log_snr for level in levels(process, np.array([1.0, constants.MARGIN])))
    inner = process.time(np.linspace(max(first, -constants.LOG_SNR_BOUND), last, steps)[1:])
    return np.concatenate([[1.0], inner, [0.0]])


GRIDS: dict[str, Callable[[Process, int], np.ndarray]] = {"uniform": uniform, "log_snr": log_snr}


def _of_eps(eps: torch.Tensor, x_t: torch.Tensor, at: Level) -> tuple[torch.Tensor, torch.Tensor]:
    return (x_t - at.sigma * eps) / at.alpha, eps


# The data and the noise that a prediction of each kind of `generative/predictions.py` stands for.
KINDS: dict[str, Estimate] = {
    "x_0": lambda x_0, x_t, at: (x_0, (x_t - at.alpha * x_0) / at.sigma),
    "eps": _of_eps,
    "v": lambda v, x_t, at: (at.alpha * x_t - at.sigma * v, at.sigma * x_t + at.alpha * v),
    "score": lambda score, x_t, at: _of_eps(-at.sigma * score, x_t, at),
}


def ddim(
    now: Level, then: Level, x: torch.Tensor, data: torch.Tensor, eps: torch.Tensor, memory: Memory
) -> torch.Tensor:
    """DDIM with eta = 0 (Song, Meng and Ermon 2021, arXiv 2010.02502)."""
    return then.alpha * data + then.sigma * eps


def dpm_solver(
    now: Level, then: Level, x: torch.Tensor, data: torch.Tensor, eps: torch.Tensor, memory: Memory
) -> torch.Tensor:
    """DPM-Solver++(2M) (Lu et al. 2022, arXiv 2211.01095); the first step, and one to clean data, are first order."""
    h = then.half_log_snr - now.half_log_snr
    if memory is not None and math.isfinite(h):
        last, last_half = memory
        data = data + h / (2 * (now.half_log_snr - last_half)) * (data - last)
    return then.sigma / now.sigma * x - then.alpha * math.expm1(-h) * data


SOLVERS: dict[str, Solver] = {"ddim": ddim, "dpm_solver++": dpm_solver}


def known(table: Mapping[str, Found], what: str, name: Any) -> Found:
    """What the table has by that name.

    Raises:
        V2SError: nothing.
    """
    if name not in table:
        raise V2SError(f"{what} is {name!r}: the PyTorch module knows {', '.join(table)}; ask for one of these")
    return table[name]


def sample(
    denoiser: Denoiser, noise: torch.Tensor, process: Process, estimate: Estimate, solver: Solver, times: np.ndarray
) -> torch.Tensor:
    """Data from noise by an evaluation of the network at each time but the last.

    Args:
        denoiser: the network, conditions and all.
        noise: standard normal, [B, ...].
        process: one of `PROCESSES`.
        estimate: of `KINDS`, by what the network predicts.
        solver: one of `SOLVERS`.
        times: by one of `GRIDS`.
    """
    x, memory = noise.float(), None
    for now, then in itertools.pairwise(levels(process, times)):
        data, eps = estimate(denoiser(x, x.new_full((len(x),), now.t)), x, now)
        x, memory = solver(now, then, x, data, eps, memory), (data, now.half_log_snr)
    return x
