"""HuBERT in PyTorch (Hsu et al. 2021, arXiv 2106.07447) under the key names of `transformers`, for inference."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from v2s_jax.interop.torch.transformer import Attention, add_positions, run_layers


class ConvBlock(nn.Module):
    """A strided convolution, a norm ("group": over time, "layer": over channels, or "none"), GELU."""

    def __init__(self, width_in: int, shape: Sequence[int], norm: str, bias: bool):
        super().__init__()
        width, taps, stride = shape
        self.norm = norm
        self.conv = nn.Conv1d(width_in, width, taps, stride, bias=bias)
        if norm == "group":
            self.layer_norm: nn.Module = nn.GroupNorm(width, width)
        elif norm == "layer":
            self.layer_norm = nn.LayerNorm(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, N] to [B, O, T]."""
        x = self.conv(x)
        if self.norm == "group":
            x = self.layer_norm(x)
        elif self.norm == "layer":
            x = self.layer_norm(x.transpose(1, 2)).transpose(1, 2)
        return F.gelu(x)


class FeedForward(nn.Module):
    """Widen, GELU, narrow."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.intermediate_dense, self.output_dense = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[..., D] to [..., D]."""
        return self.output_dense(F.gelu(self.intermediate_dense(x)))


class Layer(nn.Module):
    """Self-attention and a feed-forward part, each added to what it read."""

    def __init__(self, config: Mapping[str, Any]):
        super().__init__()
        width = config["width"]
        self.norm_first = config["norm_first"]
        self.attention = Attention(width, config["heads"])
        self.layer_norm, self.final_layer_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.feed_forward = FeedForward(width, config["hidden"])

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Frames [B, T, D]; those where `mask` [B, T] is False are not read."""
        if self.norm_first:
            x = x + self.attention(self.layer_norm(x), mask)
            return x + self.feed_forward(self.final_layer_norm(x))
        x = self.layer_norm(x + self.attention(x, mask))
        return self.final_layer_norm(x + self.feed_forward(x))


class Encoder(nn.Module):
    """Frames in context."""

    def __init__(self, config: Mapping[str, Any]):
        super().__init__()
        width, size = config["width"], config["conv_pos"]
        self.norm_first = config["norm_first"]
        conv = nn.Conv1d(width, width, size, padding=size // 2, groups=config["conv_pos_groups"])
        self.pos_conv_embed = nn.ModuleDict({"conv": weight_norm(conv, dim=2)})
        self.layer_norm = nn.LayerNorm(width)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config["layers"]))

    def forward(self, x: torch.Tensor, mask: torch.Tensor, layer: int | None = None) -> torch.Tensor:
        """Frames [B, T, D], True in `mask` [B, T] where there is one; `layer` as of the whole model."""
        x = add_positions(self.pos_conv_embed["conv"], x, mask)
        x = x if self.norm_first else self.layer_norm(x)
        return run_layers(self.layers, self.layer_norm, x, mask, layer, self.norm_first)


class HuBERT(nn.Module):
    """16 kHz speech to one vector every 20 ms.

    Args:
        config: the `model` section of an exported folder's config.json.
    """

    def __init__(self, config: Mapping[str, Any]):
        super().__init__()
        self.convs = [tuple(shape) for shape in config["convs"]]
        blocks, width = nn.Sequential(), 1
        for index, shape in enumerate(self.convs):
            norm = "none" if config["conv_norm"] == "group" and index else config["conv_norm"]
            blocks.append(ConvBlock(width, shape, norm, config["conv_bias"]))
            width = shape[0]
        self.feature_extractor = nn.ModuleDict({"conv_layers": blocks})
        self.feature_projection = nn.Sequential()
        if config["feature_norm"]:
            self.feature_projection.add_module("layer_norm", nn.LayerNorm(width))
        if config["feature_proj"]:
            self.feature_projection.add_module("projection", nn.Linear(width, config["width"]))
        self.encoder = Encoder(config)
        if config["mask_emb"]:
            self.masked_spec_embed = nn.Parameter(torch.rand(config["width"]))
        if config["final_proj"]:
            self.final_proj = nn.Linear(config["width"], config["final_dim"])
        if config["num_classes"]:
            self.label_embs_concat = nn.Parameter(torch.rand(config["num_classes"], config["final_dim"]))

    def frames(self, samples: Any) -> Any:
        """How many frames lie wholly inside so many samples, a number or a tensor."""
        for _, taps, stride in self.convs:
            samples = (samples - taps) // stride + 1
        return samples

    def forward(
        self, waveform: torch.Tensor, padding_mask: torch.Tensor | None = None, layer: int | None = None
    ) -> torch.Tensor:
        """Encodes speech.

        Args:
            waveform: [B, N], 16 kHz samples, normalised if the config says `normalise`; zeros where padded.
            padding_mask: [B, N], True where there is padding, which comes last.
            layer: from 1: stop after this layer, and give what it gives (not normalised, with pre-norm layers);
                None: the output.

        Returns:
            [B, T, D]; at padded frames it is meaningless.
        """
        x = self.feature_extractor["conv_layers"](waveform[:, None])
        x = self.feature_projection(x.transpose(1, 2))
        mask = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
        if padding_mask is not None:
            frames = self.frames((~padding_mask).sum(1))
            mask = torch.arange(x.shape[1], device=x.device)[None] < frames[:, None]
        return self.encoder(x, mask, layer)
