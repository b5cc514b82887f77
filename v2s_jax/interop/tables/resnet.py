"""AV-HuBERT's ResEncoder and our `models/resnet.py`."""

from collections.abc import Sequence

from v2s_jax.interop.table import CONV2D, CONV3D, Entry, batch_norm

BLOCKS_PER_STAGE = 2


def entries(widths: Sequence[int], activation: str, prefix_foreign: str, prefix_ours: str) -> list[Entry]:
    """The table of a visual front end.

    Args:
        widths: channels of its stages.
        activation: "relu", which has no weights, or "prelu".
        prefix_foreign: what its keys begin with, without the last dot, such as `feature_extractor_video.resnet`.
        prefix_ours: likewise, such as `frontend`.
    """
    stem = f"{prefix_foreign}.frontend3D"
    table = [
        Entry(f"{stem}.0.weight", f"{prefix_ours}.stem_conv.kernel", CONV3D),
        *batch_norm(f"{stem}.1", f"{prefix_ours}.stem_bn"),
        *_slopes(activation, f"{stem}.2", f"{prefix_ours}.stem_relu"),
    ]
    for stage in range(len(widths)):
        for index in range(BLOCKS_PER_STAGE):
            foreign = f"{prefix_foreign}.trunk.layer{stage + 1}.{index}"
            ours = f"{prefix_ours}.trunk.{BLOCKS_PER_STAGE * stage + index}"
            for half in (1, 2):
                table.append(Entry(f"{foreign}.conv{half}.weight", f"{ours}.conv{half}.kernel", CONV2D))
                table += batch_norm(f"{foreign}.bn{half}", f"{ours}.bn{half}")
                table += _slopes(activation, f"{foreign}.relu{half}", f"{ours}.relu{half}")
            if stage > 0 and index == 0:
                table.append(Entry(f"{foreign}.downsample.0.weight", f"{ours}.downsample_conv.kernel", CONV2D))
                table += batch_norm(f"{foreign}.downsample.1", f"{ours}.downsample_bn")
    return table


def _slopes(activation: str, foreign: str, ours: str) -> list[Entry]:
    return [Entry(f"{foreign}.weight", f"{ours}.weight")] if activation == "prelu" else []
