"""What the video-to-speech modules share: clips as they see them, mels as vocoders take them."""

import torch

from v2s_jax.constants import LOG_FLOOR, MEL_PER_FRAME, MOUTH_MEAN, MOUTH_STD, N_MELS
from v2s_jax.features.filters import unscale_mel


def frame_mask(length: torch.Tensor, frames: int) -> torch.Tensor:
    """[B, frames], True at the first `length` frames of each row."""
    return torch.arange(frames, device=length.device) < length[:, None]


def normalise_mouth(mouth: torch.Tensor, crop: int) -> torch.Tensor:
    """The central `crop` pixels each way of grey crops 0-255 [B, T, H, W], as the encoders take them."""
    edge = (mouth.shape[2] - crop) // 2
    seen = mouth[:, :, edge : edge + crop, edge : edge + crop].float()
    return (seen / 255 - MOUTH_MEAN) / MOUTH_STD


def spoken_mel(stacked: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Stacked scaled mel [B, T, 320] to unscaled log-mel [B, 4T, 80], ln 1e-5 where `mask` [B, T] is False."""
    scaled = stacked.float().reshape(len(stacked), -1, N_MELS)
    return torch.where(mask.repeat_interleave(MEL_PER_FRAME, 1)[..., None], unscale_mel(scaled), LOG_FLOOR)
