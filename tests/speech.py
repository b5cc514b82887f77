"""Something like speech, without any file."""

import numpy as np
from jaxtyping import Float


def voice(frames: int) -> Float[np.ndarray, "n"]:
    """A buzz of gliding pitch with two formants, silent at both ends; 160 samples a frame."""
    n = 160 * frames
    t = np.arange(n) / 16000
    phase = 2 * np.pi * np.cumsum(120 + 30 * np.sin(4 * t)) / 16000
    harmonics = np.arange(1, 40)
    gain = np.exp(-(((harmonics * 120 - 600) / 300) ** 2)) + 0.4 * np.exp(-(((harmonics * 120 - 1800) / 400) ** 2))
    wave = (gain[:, None] * np.sin(harmonics[:, None] * phase)).sum(0)
    return (0.1 * wave * np.sin(np.pi * np.arange(n) / n) ** 0.5).astype(np.float32)
