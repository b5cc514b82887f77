"""The lip-reading front end in PyTorch, with AV-HuBERT's key names: a 3D stem, then ResNet-18 on every frame."""

from collections.abc import Sequence

import torch
from torch import nn

BLOCKS_PER_STAGE = 2


def activation_layer(name: str, width: int) -> nn.Module:
    """The layer called "relu" or "prelu"; the latter has a slope for each of `width` channels."""
    return {"relu": lambda: nn.ReLU(), "prelu": lambda: nn.PReLU(width)}[name]()


class BasicBlock(nn.Module):
    """conv - norm - act - conv - norm, plus the input, then act."""

    def __init__(self, width_in: int, width: int, stride: int, activation: str):
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu1 = activation_layer(activation, width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu2 = activation_layer(activation, width)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or width_in != width:
            shortcut = nn.Conv2d(width_in, width, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, C, H, W] to [N, O, h, w]."""
        y = self.relu1(self.bn1(self.conv1(x)))
        return self.relu2(self.bn2(self.conv2(y)) + self.downsample(x))


class ResNetFrontend(nn.Module):
    """Grey mouth crops to one vector a frame.

    Args:
        widths: channels of the stem and first stage, and of the stages after.
        activation: "relu", or "prelu" as AV-HuBERT.
    """

    def __init__(self, widths: Sequence[int], activation: str):
        super().__init__()
        self.frontend3D = nn.Sequential(
            nn.Conv3d(1, widths[0], (5, 7, 7), (1, 2, 2), (2, 3, 3), bias=False),
            nn.BatchNorm3d(widths[0]),
            activation_layer(activation, widths[0]),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
        )
        self.trunk = nn.Sequential()
        width_in = widths[0]
        for stage, width in enumerate(widths):
            blocks = nn.Sequential()
            for index in range(BLOCKS_PER_STAGE):
                blocks.append(BasicBlock(width_in, width, 2 if stage and not index else 1, activation))
                width_in = width
            self.trunk.add_module(f"layer{stage + 1}", blocks)

    def forward(self, video: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Encodes every frame.

        Args:
            video: normalised frames, [B, T, H, W]; those where `mask` is False are taken as zero.
            mask: bool, [B, T], True where there is a frame.

        Returns:
            [B, T, D]; what stands at padded frames is meaningless.
        """
        video = torch.where(mask[:, :, None, None], video, 0.0)
        x = self.frontend3D(video[:, None])  # [B, C, T, h, w]
        x = x.transpose(1, 2).flatten(0, 1)
        return self.trunk(x).mean((2, 3)).unflatten(0, mask.shape)
