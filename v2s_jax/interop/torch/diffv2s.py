"""DiffV2S in PyTorch (Choi et al. 2023, arXiv 2308.07787): what `systems/diffv2s.py` synthesizes.

Guidance by gradients (`sampler.guidance`) is left out: a model whose config has some is only sampled without, by
`guidance=0.0`. Classifier-free guidance is there.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from v2s_jax.constants import SPEAKER_DIM
from v2s_jax.errors import V2SError
from v2s_jax.interop.torch.avhubert import AVHuBERT
from v2s_jax.interop.torch.clips import frame_mask, normalise_mouth, spoken_mel
from v2s_jax.interop.torch.denoisers import DENOISERS
from v2s_jax.interop.torch.diffusion import GRIDS, KINDS, PROCESSES, SOLVERS, known, sample
from v2s_jax.interop.torch.guidance import guided
from v2s_jax.interop.torch.transformer import run_layers


class DiffV2S(nn.Module):
    """Video to log-mel, from noise. The encoder's keys are AV-HuBERT's, below `encoder.`.

    Args:
        config: the `system` section of an exported model.

    Raises:
        V2SError: the config names a decoder or a process that there is not, or wants the true sound's voice.
    """

    def __init__(self, config: Mapping[str, Any]):
        super().__init__()
        self.config, width = dict(config), config["encoder"]["width"]
        self.encoder = AVHuBERT(config["encoder"])
        self.prompts = nn.ParameterDict({name: 0.02 * torch.randn(width) for name in ("video", "audio")})
        self.project = nn.Linear(width, SPEAKER_DIM)
        self.decoder = known(DENOISERS, "decoder.name", config["decoder"]["name"])(config["decoder"])
        self.voice = known({"vision": SPEAKER_DIM**0.5, "none": 0.0}, "speaker", config["speaker"])
        self.process = known(PROCESSES, "process", config["process"])()

    def forward(
        self,
        mouth: torch.Tensor,
        length: torch.Tensor,
        noise: torch.Tensor,
        evaluations: int | None = None,
        solver: str | None = None,
        grid: str | None = None,
        classifier_free: float | None = None,
        guidance: float | None = None,
    ) -> torch.Tensor:
        """Log-mel in float32, unscaled, as a vocoder takes it. What is None is as the config's `sampler` has it.

        Args:
            mouth: grey mouth crops 0-255, [B, T, H, W], of which the centre is used.
            length: valid frames of each row, [B].
            noise: standard normal, [B, T, 320].
            evaluations: of the decoder: more take longer and come nearer to the exact solution.
            solver: "ddim" (eta 0) or "dpm_solver++".
            grid: of times, "uniform" or "log_snr".
            classifier_free: scale, 1 for none; of no effect where the condition was never left out in training.
            guidance: by the gradient of the speaker's energy: there is none here, and 0 says so.

        Returns:
            [B, 4T, 80], ln 1e-5 beyond each clip's length.

        Raises:
            V2SError: there is no such solver, grid, kind of prediction or guidance here.
        """
        sampler = self.config["sampler"]
        asked = (sampler["guidance"] if sampler["guidance_by"] != "none" else 0) if guidance is None else guidance
        if asked:
            raise V2SError(
                f"sampler.guidance is {asked}: the PyTorch module has no guidance by gradients; ask for guidance=0.0"
            )
        if solver is None and sampler["solver"] == "ddim" and sampler["eta"]:
            raise V2SError(
                f"solver 'ddim' draws noise here (eta is {sampler['eta']}): ask for solver='ddim' to have none"
            )
        estimate = known(KINDS, "prediction", self.config["prediction"])
        step = known(SOLVERS, "solver", solver or sampler["solver"])
        steps = min(max(int(sampler["evaluations"] if evaluations is None else evaluations), 1), sampler["most"])
        times = known(GRIDS, "grid", grid or sampler["grid"])(self.process, steps)
        mask = frame_mask(length, mouth.shape[1])
        scale = sampler["classifier_free"] if classifier_free is None else classifier_free
        denoiser = guided(
            self.decoder, self.condition(*self.see(mouth, length)), mask, scale if self.config["drop"] else 1.0
        )
        x_0 = sample(denoiser, noise, self.process, estimate, step, times)
        return spoken_mel(x_0, mask)

    def see(self, mouth: torch.Tensor, length: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Visual features [B, T, D], and the embedding [B, 256], of unit norm, of the voice that the face suggests."""
        return self._listen(length, video=normalise_mouth(mouth, self.config["crop"]))

    def hear(self, filterbank: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
        """The speaker embedding [B, 256], of unit norm, of stacked filterbanks [B, T, 104]."""
        return self._listen(length, audio=filterbank)[1]

    def _listen(self, length: torch.Tensor, **clip: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The modality's prompt goes through the layers as a last frame that reads all and is read by itself alone."""
        ((modality, given),) = clip.items()
        x, mask = self.encoder.frames(**clip, padding_mask=~frame_mask(length, given.shape[1]))
        transformer = self.encoder.encoder
        x = torch.cat([transformer.embed(x, mask), self.prompts[modality].expand(len(x), 1, -1)], 1)
        readable = F.pad(mask, (0, 1), value=True)[:, None].repeat(1, x.shape[1], 1)
        readable[:, :-1, -1] = False
        x = run_layers(transformer.layers, transformer.layer_norm, x, readable, None, transformer.norm_first)
        projected = self.project(x[:, -1])
        return x[:, :-1], projected * (projected.square().sum(-1, keepdim=True) + 1e-12).rsqrt()

    def condition(self, frames: torch.Tensor, speaker: torch.Tensor) -> torch.Tensor:
        """What the decoder is given: the features and, at every frame, the speaker, [B, T, D + 256]."""
        return torch.cat([frames, (self.voice * speaker)[:, None].expand(-1, frames.shape[1], -1)], -1)
