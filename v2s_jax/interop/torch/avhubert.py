"""AV-HuBERT's encoder in PyTorch (Shi et al. 2022, arXiv 2201.02184) under fairseq's key names, for inference."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from v2s_jax.interop.torch.resnet import ResNetFrontend
from v2s_jax.interop.torch.transformer import Attention, PositionalConv, add_positions, run_layers


class Layer(nn.Module):
    """Self-attention and a feed-forward part, each added to what it read."""

    def __init__(self, config: Mapping[str, Any]):
        super().__init__()
        width = config["width"]
        self.norm_first = config["norm_first"]
        self.self_attn = Attention(width, config["heads"])
        self.self_attn_layer_norm, self.final_layer_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.fc1, self.fc2 = nn.Linear(width, config["hidden"]), nn.Linear(config["hidden"], width)

    def _feed_forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(F.gelu(self.fc1(x)))

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Frames [B, T, D]; those where `mask`, [B, T] or [B, T, T], is False are not read."""
        if self.norm_first:
            x = x + self.self_attn(self.self_attn_layer_norm(x), mask)
            return x + self._feed_forward(self.final_layer_norm(x))
        x = self.self_attn_layer_norm(x + self.self_attn(x, mask))
        return self.final_layer_norm(x + self._feed_forward(x))


class Encoder(nn.Module):
    """Frames in context."""

    def __init__(self, config: Mapping[str, Any]):
        super().__init__()
        self.norm_first = config["norm_first"]
        self.pos_conv = nn.Sequential(PositionalConv(config["width"], config["conv_pos"], config["conv_pos_groups"]))
        self.layers = nn.ModuleList(Layer(config) for _ in range(config["layers"]))
        self.layer_norm = nn.LayerNorm(config["width"])

    def forward(self, x: torch.Tensor, mask: torch.Tensor, layer: int | None = None) -> torch.Tensor:
        """Frames [B, T, D], True in `mask` [B, T] where there is one; `layer` as of the whole model."""
        return run_layers(self.layers, self.layer_norm, self.embed(x, mask), mask, layer, self.norm_first)

    def embed(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """The frames with their positions: what the first layer reads."""
        x = add_positions(self.pos_conv, x, mask)
        return x if self.norm_first else self.layer_norm(x)


class AVHuBERT(nn.Module):
    """Mouth video and sound to one vector a frame.

    Args:
        config: the `model` section of an exported folder's config.json.
    """

    def __init__(self, config: Mapping[str, Any]):
        super().__init__()
        self.config = dict(config)
        width, fused = config["width"], config["width"] * {"concat": 2, "add": 1}[config["fusion"]]
        resnet = ResNetFrontend(config["resnet"], config["activation"])
        self.feature_extractor_audio = nn.ModuleDict({"proj": nn.Linear(config["audio_dim"], width)})
        self.feature_extractor_video = nn.ModuleDict({"resnet": resnet, "proj": nn.Linear(config["resnet"][-1], width)})
        self.layer_norm = nn.LayerNorm(fused)
        self.post_extract_proj = nn.Linear(fused, width) if config["fusion"] == "concat" else nn.Identity()
        self.encoder = Encoder(config)
        if config["masking"] != "none":
            self.mask_emb = nn.Parameter(torch.rand(config["audio_dim"] if config["masking"] == "input" else width))
        if config["final_proj"]:
            self.final_proj = nn.Linear(width, config["final_dim"])
        if config["num_classes"]:
            self.label_embs_concat = nn.Parameter(torch.rand(config["num_classes"], config["final_dim"]))

    def forward(
        self,
        video: torch.Tensor | None = None,
        audio: torch.Tensor | None = None,
        padding_mask: torch.Tensor | None = None,
        layer: int | None = None,
    ) -> torch.Tensor:
        """Encodes clips by what they show, by what is heard, or by both.

        Args:
            video: [B, T, 88, 88, 1] or [B, T, 88, 88], normalised mouth crops.
            audio: [B, T, 104], stacked filterbanks.
            padding_mask: [B, T], True where there is padding, which comes last.
            layer: from 1: stop after this layer, and give what it gives, not normalised; None: the output.

        Returns:
            [B, T, D]; at padded frames it is meaningless.
        """
        return self.encoder(*self.frames(video, audio, padding_mask), layer)

    def frames(
        self,
        video: torch.Tensor | None = None,
        audio: torch.Tensor | None = None,
        padding_mask: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What the transformer reads, and True where it is not padding; arguments as of `forward`."""
        given = video if video is not None else audio
        if given is None:
            raise ValueError("nothing to encode: pass video, audio or both")
        mask = given.new_ones(given.shape[:2], dtype=torch.bool) if padding_mask is None else ~padding_mask
        heard = seen = given.new_zeros(*mask.shape, self.config["width"])
        if audio is not None:
            heard = self.feature_extractor_audio["proj"](audio)
        if video is not None:
            frames = self.feature_extractor_video["resnet"](video[..., 0] if video.ndim == 5 else video, mask)
            seen = self.feature_extractor_video["proj"](frames)
        fused = torch.cat([heard, seen], -1) if self.config["fusion"] == "concat" else heard + seen
        return self.post_extract_proj(self.layer_norm(fused)), mask
