"""From Faces to Voices in PyTorch (Kim et al. 2025, arXiv 2503.16956): what `systems/faces2voices.py` synthesizes."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from v2s_jax.constants import MEL_PER_FRAME
from v2s_jax.interop.torch.avhubert import AVHuBERT
from v2s_jax.interop.torch.clips import frame_mask, normalise_mouth, spoken_mel
from v2s_jax.interop.torch.denoisers import DENOISERS
from v2s_jax.interop.torch.diffusion import known
from v2s_jax.interop.torch.flow import GRIDS, KINDS, euler
from v2s_jax.interop.torch.guidance import guided
from v2s_jax.interop.torch.voice import CONTROLS, VoiceStages


class Faces2Voices(nn.Module):
    """Video to log-mel, from noise. The encoder's keys are AV-HuBERT's, below `encoder.`.

    Args:
        config: the `system` section of an exported model.

    Raises:
        V2SError: the config names a decoder that there is not.
    """

    def __init__(self, config: Mapping[str, Any]):
        super().__init__()
        self.config = dict(config)
        self.encoder = AVHuBERT(config["encoder"])
        self.voice = VoiceStages(config)
        self.decoder = known(DENOISERS, "decoder.name", config["decoder"]["name"])(config["decoder"])

    def forward(
        self,
        mouth: torch.Tensor,
        length: torch.Tensor,
        noise: torch.Tensor,
        face_embedding: torch.Tensor | None = None,
        expression: torch.Tensor | None = None,
        speaker_embedding: torch.Tensor | None = None,
        evaluations: int | None = None,
        classifier_free: float | None = None,
        **prosody: float,
    ) -> torch.Tensor:
        """Log-mel in float32, unscaled, as a vocoder takes it. What is None is as the config's `sampler` has it.

        Args:
            mouth: grey mouth crops 0-255, [B, T, H, W], of which the centre is used.
            length: valid frames of each row, [B].
            noise: standard normal, [B, T, 320].
            face_embedding: whose face it is, [B, E].
            expression: grey whole faces 0-255, [B, T, 48, 48].
            speaker_embedding: L2-normalised, [B, 256], in place of what the face suggests.
            evaluations: of the decoder, which Euler's steps are.
            classifier_free: scale, 1 for none.
            **prosody: `pitch_shift`, `pitch_range`, `energy_shift` and `contour_speed`.

        Returns:
            [B, 4T, 80], ln 1e-5 beyond each clip's length.

        Raises:
            V2SError: there is no such solver, grid, kind of prediction or setting of prosody here.
        """
        for name in prosody:
            known(CONTROLS, "the setting of prosody", name)
        sampler = self.config["sampler"]
        known({"euler": euler}, "solver", sampler["solver"])
        known(KINDS, "prediction", self.config["prediction"])
        count = sampler["evaluations"] if evaluations is None else evaluations
        times = known(GRIDS, "grid", sampler["grid"])(min(max(int(count), 1), sampler["most"]))
        mask = frame_mask(length, mouth.shape[1])
        lips = self.encoder(video=normalise_mouth(mouth, self.config["crop"]), padding_mask=~mask)
        condition = self.voice(lips, length, face_embedding, expression, speaker_embedding, prosody)
        scale = sampler["classifier_free"] if classifier_free is None else classifier_free
        denoiser = guided(self.decoder, condition, mask, scale)
        mel = spoken_mel(euler(denoiser, noise, self.config["sigma_min"], self.config["prediction"], times), mask)
        shift = prosody.get("energy_shift", 0.0) * math.log(10) / 20
        return mel + shift * mask.repeat_interleave(MEL_PER_FRAME, 1)[..., None]
