"""AV2A-MelSpec in PyTorch (arXiv 2307.16584): what `systems/av2a.py` synthesizes."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from v2s_jax.constants import MEL_PER_FRAME, N_MELS
from v2s_jax.features.filters import scale_mel
from v2s_jax.interop.torch.clips import frame_mask, normalise_mouth, spoken_mel
from v2s_jax.interop.torch.diffusion import known
from v2s_jax.interop.torch.svts import SVTS

VIDEO, AUDIO, BOTH = range(3)  # states of a row: what it is given in


class ModalityBatchNorm(nn.Module):
    """Batch norm with one scale and shift, and running statistics of every state of a row."""

    running_mean: torch.Tensor
    running_var: torch.Tensor

    def __init__(self, width: int):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(3, width))
        self.register_buffer("running_var", torch.ones(3, width))

    def forward(self, x: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        """Rows [B, width, T], each by the statistics of its state [B]."""
        y = torch.empty_like(x)
        for which in state.unique():
            rows = state == which
            statistics = self.running_mean[which], self.running_var[which]
            y[rows] = functional.batch_norm(x[rows], *statistics, self.weight, self.bias, self.training)
        return y


class ResidualBlock(nn.Module):
    """Twice norm, swish, convolution, and the input."""

    def __init__(self, width: int, taps: int):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.conv1, self.conv2 = (nn.Conv1d(width, width, taps, padding=taps // 2) for _ in range(2))

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """One block over [B, T, width]."""
        y = _along(self.conv1, functional.silu(self.norm1(x)), mask)
        return x + _along(self.conv2, functional.silu(self.norm2(y)), mask)


class AudioEncoder(nn.Module):
    """Two convolutions that halve the rate, then residual blocks, then a norm."""

    def __init__(self, width: int, blocks: int, taps: int):
        super().__init__()
        self.halve1, self.halve2 = (nn.Conv1d(size, width, 4, stride=2, padding=1) for size in (N_MELS, width))
        self.blocks = nn.ModuleList([ResidualBlock(width, taps) for _ in range(blocks)])
        self.norm = nn.LayerNorm(width)

    def forward(self, mel: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Scaled log-mel [B, 4T, 80] to [B, T, width], 0 where `mask` [B, T] is False."""
        x = functional.silu(_along(self.halve1, mel, mask.repeat_interleave(4, 1)))
        x = _along(self.halve2, x, mask.repeat_interleave(2, 1))
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x) * mask[..., None]


def _along(conv: nn.Conv1d, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """A convolution over the steps of [B, T, I] where `mask` [B, T] is True; the others count as zero."""
    return conv((x * mask[..., None]).transpose(1, 2)).transpose(1, 2)


class AV2A(SVTS):
    """Video, a draft or both (and, if the config says so, a speaker embedding) to log-mel.

    Args:
        config: the `system` section of an exported model.

    Raises:
        V2SError: its base is of a kind that cannot be one here.
    """

    def __init__(self, config: Mapping[str, Any]):
        super().__init__(config, ModalityBatchNorm)
        self.state = {"audio": AUDIO, "video": VIDEO}.get(config["procedure"], BOTH)
        self.rounds, self.drafts_itself = config["rounds"], config["base"] == "own"
        self.seen = config["resnet"][-1]
        if self.state == AUDIO:
            del self.resnet
        if self.state != VIDEO:
            self.audio_encoder = AudioEncoder(**config["audio_encoder"])
            self.project_audio = nn.Linear(config["audio_encoder"]["width"], config["width"], bias=False)
        if config["base"] == "v2a":
            self.base = known(self.bases(), "v2a.name", config["v2a"]["name"])(config["v2a"])

    @classmethod
    def bases(cls) -> dict[str, type[nn.Module]]:
        """What may draft, by the name of its system."""
        return {"svts": SVTS, "av2a": AV2A}

    def forward(  # type: ignore[override]
        self,
        mouth: torch.Tensor | None,
        length: torch.Tensor,
        speaker_embedding: torch.Tensor | None = None,
        heard: torch.Tensor | None = None,
        rounds: int | None = None,
    ) -> torch.Tensor:
        """Log-mel in float32, unscaled, as a vocoder takes it: a draft, and then `rounds` times a better one of it.

        Args:
            mouth: grey mouth crops 0-255, [B, T, H, W], of which the centre is used; None if the model only hears.
            length: valid frames of each row, [B].
            speaker_embedding: L2-normalised, [B, 256], if the model takes one.
            heard: log-mel, not scaled, [B, 4T, 80]: the draft, or what else the model was trained to hear. Without one
                a model that has a base, or is its own, drafts itself.
            rounds: of refining; as the config says if None.

        Returns:
            [B, 4T, 80], ln 1e-5 beyond each clip's length.

        Raises:
            ValueError: it can neither draft nor was given something to hear.
        """
        given = mouth if mouth is not None else heard
        if given is None:
            raise ValueError("this model needs mouth [B, T, H, W] or heard [B, 4T, 80]")
        mask = frame_mask(length, given.shape[1] if mouth is not None else given.shape[1] // MEL_PER_FRAME)
        state = torch.full_like(length, self.state)
        seen = self.see(mouth, mask)

        def say(heard: torch.Tensor | None, state: torch.Tensor) -> torch.Tensor:
            return self.speak(self.features(seen, heard, state, mask, speaker_embedding), mask, state)

        if self.state == VIDEO:
            return self.finish(say(None, state), mask)
        count = 1 if self.state == AUDIO else max(0, self.rounds if rounds is None else rounds)
        if heard is not None:
            first, speech = self.begin(scale_mel(heard.float()), lambda mel: say(mel, state))
        elif self.drafts_itself:
            nothing = seen.new_zeros(len(mask), MEL_PER_FRAME * mask.shape[1], N_MELS)
            first, speech = 1, say(nothing, torch.full_like(state, VIDEO))
        elif hasattr(self, "base"):
            first, speech = 1, self.take(self.base(mouth, length, speaker_embedding))
        else:
            raise ValueError("this model needs something heard [B, 4T, 80], such as a draft by another model")
        for _ in range(first, 1 + count):
            speech = say(self.hear(speech, length), state)
        return self.finish(speech, mask)

    def begin(self, mel: torch.Tensor, say: Callable[[torch.Tensor], torch.Tensor]) -> tuple[int, torch.Tensor]:
        """The first turn that is to be made, and the speech before it, of a scaled log-mel that was brought."""
        return 1, mel

    def hear(self, speech: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
        """Scaled log-mel of speech as `speak` gives it, of clips of so many frames."""
        return speech

    def take(self, draft: torch.Tensor) -> torch.Tensor:
        """Speech as `speak` gives it of what a base gives."""
        return scale_mel(draft)

    def finish(self, speech: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """What `forward` gives of speech."""
        return spoken_mel(speech, mask)

    def see(self, mouth: torch.Tensor | None, mask: torch.Tensor) -> torch.Tensor:
        """Visual features [B, T, F], 0 where there is no frame, or nothing is seen."""
        if mouth is None or self.state == AUDIO:
            return torch.zeros(*mask.shape, self.seen, device=mask.device)
        return self.resnet(normalise_mouth(mouth, self.crop), mask) * mask[..., None]

    def speak(self, x: torch.Tensor, mask: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        """Scaled log-mel [B, 4T, 80] of features [B, T, width]."""
        return self.head(x).float().reshape(len(x), -1, N_MELS)

    def features(
        self,
        seen: torch.Tensor,
        heard: torch.Tensor | None,
        state: torch.Tensor,
        mask: torch.Tensor,
        speaker_embedding: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """What speech is made of, [B, T, width]: what is seen and the scaled log-mel heard, rows in their state [B]."""
        x = self.join(seen * (state != AUDIO)[:, None, None], speaker_embedding)
        if heard is not None:
            x = x + self.project_audio(self.audio_encoder(heard, mask & (state != VIDEO)[:, None]))
        return self.conformer(x, mask, state)
