"""SVTS in PyTorch: what `systems/svts.py` synthesizes."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from v2s_jax.constants import LETTERS_PER_FRAME, MEL_PER_FRAME, N_MELS, SPEAKER_DIM
from v2s_jax.features.text import ALPHABET
from v2s_jax.interop.torch.clips import frame_mask, normalise_mouth, spoken_mel
from v2s_jax.interop.torch.conformer import Conformer, Norm
from v2s_jax.interop.torch.resnet import ResNetFrontend


class SVTS(nn.Module):
    """Video (and, if the config says so, a speaker embedding) to log-mel.

    Args:
        config: the `system` section of an exported model.
        norm: makes the conformer's batch norms.
    """

    def __init__(self, config: Mapping[str, Any], norm: Norm = nn.BatchNorm1d):
        super().__init__()
        self.crop, self.uses_speaker = config["crop"], config["speaker_embedding"]
        widths, width = config["resnet"], config["width"]
        self.resnet = ResNetFrontend(widths, config["activation"])
        self.project = nn.Linear(widths[-1] + (SPEAKER_DIM if self.uses_speaker else 0), width)
        heads, hidden, kernel_size, dropout = (config[name] for name in ("heads", "hidden", "kernel_size", "dropout"))
        self.conformer = Conformer(config["blocks"], width, heads, hidden, kernel_size, dropout, norm)
        self.head = nn.Linear(width, MEL_PER_FRAME * N_MELS)
        if config["ctc_weight"]:  # trained with it, and kept for training on; the mel does not need it
            self.text_head = nn.Linear(width, LETTERS_PER_FRAME * len(ALPHABET))

    def forward(
        self, mouth: torch.Tensor, length: torch.Tensor, speaker_embedding: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Log-mel in float32, unscaled, as a vocoder takes it.

        Args:
            mouth: grey mouth crops 0-255, [B, T, H, W], of which the centre is used.
            length: valid frames of each row, [B].
            speaker_embedding: L2-normalised, [B, 256], if the model takes one.

        Returns:
            [B, 4T, 80], ln 1e-5 beyond each clip's length.
        """
        mask = frame_mask(length, mouth.shape[1])
        x = self.join(self.resnet(normalise_mouth(mouth, self.crop), mask), speaker_embedding)
        return spoken_mel(self.head(self.conformer(x, mask)), mask)

    def join(self, seen: torch.Tensor, speaker_embedding: torch.Tensor | None) -> torch.Tensor:
        """Visual features [B, T, F], and the speaker's if the config says so, at the conformer's width."""
        if self.uses_speaker:
            if speaker_embedding is None:
                raise ValueError("this model needs a speaker_embedding [B, 256]")
            seen = torch.cat([seen, speaker_embedding[:, None].expand(*seen.shape[:2], -1)], -1)
        return self.project(seen)
