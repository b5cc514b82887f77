"""The tensors of a model's folder: its own, and those that it shares with a model beside it.

Two models often have a part in common to the bit, such as a frozen encoder. A folder need not hold that twice: its
config says `"shared": {"encoder": "other/encoder"}`, and what would be `encoder.*` here is `encoder.*` of the folder
`other` next to it; parts of parts are written `encoder/frontend`. Needs no jax: `v2s_jax.interop.torch` reads the same
folders.
"""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open

from v2s_jax.errors import V2SError
from v2s_jax.models.settings import CONFIG, SHARED, WEIGHTS


class Tensor(NamedTuple):
    """One tensor of a file that is open.

    Attributes:
        file: of safetensors.
        name: there.
    """

    file: Any
    name: str

    @property
    def shape(self) -> tuple[int, ...]:
        """As the file's header says."""
        return tuple(self.file.get_slice(self.name).get_shape())

    @property
    def kind(self) -> str:
        """Safetensors' name of its dtype, such as F16."""
        return self.file.get_slice(self.name).get_dtype()

    def read(self) -> np.ndarray:
        """Its values."""
        return self.file.get_tensor(self.name)


@contextlib.contextmanager
def open_weights(folder: Path, config: Mapping[str, Any]) -> Iterator[dict[str, Tensor]]:
    """The tensors of a folder by name, none of them read yet.

    Args:
        folder: of the model.
        config: the whole of it.

    Raises:
        V2SError: a file is missing or damaged, or what is shared makes no sense.
    """
    with contextlib.ExitStack() as files:
        own, others = _tensors(files, folder / WEIGHTS), _shared(files, folder, config)
        if twice := sorted(own.keys() & others.keys()):
            raise V2SError(f"{folder / CONFIG}: {twice[0]} is shared and in {WEIGHTS}, too; fetch the model again")
        yield own | others


def without_shared(folder: Path, config: Mapping[str, Any], weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What is left to put into a new folder's file once a config says what it shares.

    Args:
        folder: of the model, which need not be there yet.
        config: the whole of it.
        weights: as they are to be stored.

    Raises:
        V2SError: a tensor is not the same in the other folder.
    """
    with contextlib.ExitStack() as files:
        others = _shared(files, folder, config)
        for name, tensor in others.items():
            if name not in weights or not np.array_equal(weights[name], tensor.read()):
                raise V2SError(f"{folder}: {name} is not what {config[SHARED]} has; share only what was kept frozen")
    return {name: value for name, value in weights.items() if name not in others}


def _shared(files: contextlib.ExitStack, folder: Path, config: Mapping[str, Any]) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for part, place in _shared_parts(config, folder / CONFIG).items():
        name, _, theirs_in = place.partition("/")
        prefix, own = theirs_in.replace("/", "."), part.replace("/", ".")
        theirs = _tensors(files, folder.parent / name / WEIGHTS)
        taken = {f"{own}{key.removeprefix(prefix)}": t for key, t in theirs.items() if key.startswith(f"{prefix}.")}
        if not taken:
            raise V2SError(f"{folder / CONFIG}: there is no {place} to share {part} with; fetch both models again")
        found |= taken
    return found


def _shared_parts(config: Mapping[str, Any], where: Path) -> dict[str, str]:
    """What a config shares: parts of the model, and the folder beside it and the part that each is taken from."""
    shared = config.get(SHARED, {})
    # Parts of parts have a slash, since ConfigDict takes no names with a dot.
    if not isinstance(shared, Mapping) or "." in "".join(shared) or not all(map(_is_place, shared.values())):
        raise V2SError(f'{where}: {SHARED} is {str(shared)[:60]!r}, expected such as {{"encoder": "other/encoder"}}')
    return dict(shared)


def _is_place(place: Any) -> bool:
    names = place.split("/") if isinstance(place, str) else []
    return len(names) > 1 and all(names) and not names[0].startswith(".") and "\\" not in place


def _tensors(files: contextlib.ExitStack, path: Path) -> dict[str, Tensor]:
    try:
        file = files.enter_context(safe_open(path, "numpy"))
    except (OSError, SafetensorError) as error:
        raise V2SError(f"{path}: not readable as a model's weights ({error}); fetch the model again") from error
    return {name: Tensor(file, name) for name in file.keys()}  # noqa: SIM118 (a file, not a dict)
