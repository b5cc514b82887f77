"""The spectral vocoder, which is this project's own: there are no published files to read or to write."""

import os
from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np
from jax.typing import DTypeLike

from v2s_jax.errors import V2SError
from v2s_jax.interop.load import Info, load
from v2s_jax.models.inference import Inference


def load_spectral(path: str | os.PathLike, dtype: DTypeLike = np.float32) -> tuple[Inference, Info]:
    """A vocoder, `model(log_mel)` with [B, M, 80] giving [B, 160 * M], and where it comes from.

    Args:
        path: a folder that `v2s-jax export` wrote.
        dtype: of the network's computation.

    Raises:
        V2SError: there is no such folder, or it is damaged or holds something else.
    """
    return load(path, read, "spectral", None, dtype)


def read(path: str | os.PathLike, config: Any = None) -> NoReturn:
    """Nothing else is a spectral vocoder.

    Raises:
        V2SError: always.
    """
    raise V2SError(f"{path}: no folder of a spectral vocoder; expected one that v2s-jax export wrote")


def to_original(config: Mapping[str, Any], weights: Mapping[str, Any], info: Info) -> NoReturn:
    """There is no other layout.

    Raises:
        V2SError: always.
    """
    raise V2SError("a spectral vocoder was never published in another layout; export it without --layout")
