"""What the video-to-speech modules share: clips as they see them, mels as vocoders take them."""

import torch

from v2s_jax.constants import HOP_LENGTH, LOG_FLOOR, MEL_PER_FRAME, MOUTH_MEAN, MOUTH_STD, N_FFT, N_MELS
from v2s_jax.features.filters import hann, mel_filters, unscale_mel


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


def log_mel(wave: torch.Tensor, samples: torch.Tensor) -> torch.Tensor:
    """Unscaled log-mel [B, n // 160, 80] of waveforms [B, n] at 16 kHz: `log_mel_of_clips` of `features/mel.py`.

    Args:
        wave: rows of different lengths.
        samples: valid ones of each row, [B]; what stands behind them changes nothing before.
    """
    place, end = torch.arange(wave.shape[1] + N_FFT, device=wave.device)[None], samples[:, None]
    mirrored = torch.where(place < end, place, (2 * (end - 1) - place).clamp(min=0)).clamp(max=wave.shape[1] - 1)
    window, filters = (torch.as_tensor(table, dtype=torch.float32).to(wave) for table in (hann(), mel_filters()))
    longer = torch.gather(wave, 1, mirrored)
    spectrum = torch.stft(longer, N_FFT, HOP_LENGTH, window=window, return_complex=True, pad_mode="reflect")
    magnitude = spectrum.abs().transpose(1, 2)[:, : wave.shape[1] // HOP_LENGTH]
    return (magnitude @ filters).clamp(min=1e-5).log()
