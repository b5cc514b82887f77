"""What a face says, in whose voice and how, in PyTorch: what `systems/voice_stages.py` makes when it speaks."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from v2s_jax.constants import LETTERS_PER_FRAME, MEL_PER_FRAME, SPEAKER_DIM, UNITS_PER_FRAME
from v2s_jax.features.text import ALPHABET
from v2s_jax.interop.torch.clips import frame_mask
from v2s_jax.interop.torch.conditional_norm import ConditionalLayerNorm
from v2s_jax.interop.torch.conformer import Conformer
from v2s_jax.interop.torch.expression import ExpressionEncoder

MEL_PER_STEP = MEL_PER_FRAME // UNITS_PER_FRAME
PITCH_SCALE = 0.4  # of log F0, as models/prosody.py has it
CONTROLS = {"pitch_shift": 0.0, "pitch_range": 1.0, "energy_shift": 0.0, "contour_speed": 1.0}


class Contours(NamedTuple):
    """Log odds of voicing, scaled log F0 and scaled log RMS, [B, M] each."""

    voicing: torch.Tensor
    pitch: torch.Tensor
    energy: torch.Tensor


class ContentEncoder(nn.Module):
    """Visual features to content at 50 Hz, with the mean vector of the units that it names."""

    def __init__(self, features: int, clusters: int, config: Mapping[str, Any]):
        super().__init__()
        width = config["width"]
        self.project = nn.Linear(features, UNITS_PER_FRAME * width)
        self.conformer = _conformer(config)
        self.head = nn.Linear(width, clusters)
        self.table = nn.Parameter(torch.randn(clusters, width) * width**-0.5)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """[B, T, F] to [B, 2T, D]; `mask` [B, 2T] is True at valid steps."""
        steps = self.project(x).reshape(len(x), mask.shape[1], -1)
        found = self.conformer(steps, mask)
        return found + self.head(found).softmax(-1) @ self.table


class Timbre(nn.Module):
    """Face embeddings [B, E] to speaker embeddings [B, 256] of unit norm."""

    def __init__(self, face: int, hidden: int):
        super().__init__()
        self.widen, self.narrow = nn.Linear(face, hidden), nn.Linear(hidden, SPEAKER_DIM)

    def forward(self, face: torch.Tensor) -> torch.Tensor:
        """The guess."""
        found = self.narrow(functional.gelu(self.widen(face), approximate="tanh"))
        return found * (found.square().sum(-1, keepdim=True) + 1e-12).rsqrt()


class ProsodyPredictor(nn.Module):
    """The stream [B, 2T, D] and what the face does [B, T, E] to contours."""

    def __init__(self, width: int, seen: int, config: Mapping[str, Any]):
        super().__init__()
        self.project = nn.Linear(width + seen, config["width"])
        self.conformer = _conformer(config)
        self.head = nn.Linear(config["width"], 3 * MEL_PER_STEP)

    def forward(self, x: torch.Tensor, seen: torch.Tensor, mask: torch.Tensor) -> Contours:
        """The guess; `mask` [B, 2T] is True at valid steps."""
        both = torch.cat([x, seen.repeat_interleave(UNITS_PER_FRAME, 1)], -1)
        found = self.head(self.conformer(self.project(both), mask))
        return Contours(*found.reshape(len(x), -1, 3).unbind(-1))


class ContourEmbedding(nn.Module):
    """Contours to vectors for the stream."""

    def __init__(self, width: int):
        super().__init__()
        self.linear = nn.Linear(3 * MEL_PER_STEP, width)

    def forward(self, contours: Contours) -> torch.Tensor:
        """[B, M] each to [B, M / 2, D]."""
        voiced = contours.voicing.sigmoid()
        stacked = torch.stack([voiced, voiced * contours.pitch, contours.energy], -1)
        return self.linear(stacked.reshape(len(stacked), -1, 3 * MEL_PER_STEP))


def control(contours: Contours, mask: torch.Tensor, settings: Mapping[str, float]) -> Contours:
    """Contours as a user wants them: see `control` of models/prosody.py."""
    length = mask.sum(1, keepdim=True)
    middle = (length - 1) / 2
    place = middle + (torch.arange(mask.shape[1], device=mask.device) - middle) * settings["contour_speed"]
    place = place.clamp(min=0).minimum((length - 1).clamp(min=0))
    before = place.floor().long()
    after = torch.minimum(before + 1, (length - 1).clamp(min=0))
    share = place - before
    voicing, pitch, energy = ((1 - share) * c.gather(1, before) + share * c.gather(1, after) for c in contours)
    weight = voicing.sigmoid() * mask
    mean = (weight * pitch).sum(1, keepdim=True) / weight.sum(1, keepdim=True).clamp(min=1e-6)
    pitch = mean + settings["pitch_range"] * (pitch - mean) + settings["pitch_shift"] * math.log(2) / 12 / PITCH_SCALE
    return Contours(voicing, pitch, energy)


class VoiceStages(nn.Module):
    """Content, timbre and prosody.

    Args:
        config: the `system` section of an exported model.
    """

    def __init__(self, config: Mapping[str, Any]):
        super().__init__()
        self.speaker_from, self.prosody_from = config["speaker_from"], config["prosody_from"]
        width, seen = config["content"]["width"], config["expression"][-1]
        self.content = ContentEncoder(config["encoder"]["width"], config["clusters"], config["content"])
        if config["ctc_weight"]:  # trained with it, and kept for training on
            self.text_head = nn.Linear(UNITS_PER_FRAME * width, LETTERS_PER_FRAME * len(ALPHABET))
        self.timbre = Timbre(config["face"], width)
        self.voiced = ConditionalLayerNorm(width, SPEAKER_DIM)
        self.expression = ExpressionEncoder(config["expression"], seen)
        self.prosody = ProsodyPredictor(width, seen, config["prosody"])
        self.contour = ContourEmbedding(width)

    def forward(
        self,
        lips: torch.Tensor,
        length: torch.Tensor,
        face_embedding: torch.Tensor | None,
        expression: torch.Tensor | None,
        speaker_embedding: torch.Tensor | None,
        settings: Mapping[str, float],
    ) -> torch.Tensor:
        """What the decoder is given, [B, T, 2D + 256].

        Args:
            lips: visual features, [B, T, F].
            length: valid frames of each row, [B].
            face_embedding: [B, E]; None where there is a `speaker_embedding`.
            expression: grey faces 0-255, [B, T, 48, 48].
            speaker_embedding: [B, 256] of unit norm, in place of what the face suggests.
            settings: of `CONTROLS`, those that differ.
        """
        rows, frames, _ = lips.shape
        steps = frame_mask(UNITS_PER_FRAME * length, UNITS_PER_FRAME * frames)
        speaker = self._speaker(rows, face_embedding, speaker_embedding).to(lips)
        stream = self.voiced(self.content(lips, steps), speaker)
        if self.prosody_from == "face":
            if expression is None:
                raise ValueError("this model needs expression [B, T, 48, 48]")
            seen = self.expression(expression.float() / 127.5 - 1, frame_mask(length, frames))
            contours = self.prosody(stream, seen, steps)
            mels = frame_mask(MEL_PER_FRAME * length, MEL_PER_FRAME * frames)
            stream = stream + self.contour(control(contours, mels, CONTROLS | dict(settings)))
        stream = (stream * steps[..., None]).reshape(rows, frames, -1)
        return torch.cat([stream, SPEAKER_DIM**0.5 * speaker[:, None].expand(-1, frames, -1)], -1)

    def _speaker(self, rows: int, face: torch.Tensor | None, speaker: torch.Tensor | None) -> torch.Tensor:
        if self.speaker_from == "none":
            return torch.zeros(rows, SPEAKER_DIM)
        if speaker is not None:
            return speaker
        if self.speaker_from == "audio" or face is None:
            raise ValueError("this model needs a speaker_embedding [B, 256] or, if trained so, a face_embedding [B, E]")
        return self.timbre(face)


def _conformer(config: Mapping[str, Any]) -> Conformer:
    sizes = (config[name] for name in ("blocks", "width", "heads", "hidden", "kernel_size", "dropout"))
    return Conformer(*sizes)
