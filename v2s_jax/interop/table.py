"""Weight tables: which tensor of a foreign file is which of ours, and how its axes turn. One table serves both ways.

Pure numpy, so that `v2s_jax.interop.torch` can read it without jax. A part's table lives in `tables/`, as a function
from the part's config to a list of entries.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from v2s_jax.errors import V2SError
from v2s_jax.interop.records import shown

_WRAPPER = "module."
_FLOATS = ("float16", "bfloat16", "float32", "float64")


class Transform(NamedTuple):
    """Two functions that undo each other."""

    to_ours: Callable[[np.ndarray], np.ndarray]
    to_foreign: Callable[[np.ndarray], np.ndarray]


def axes(*order: int) -> Transform:
    """The transform whose result has, as axis i, axis `order[i]` of the foreign tensor."""
    back = tuple(int(axis) for axis in np.argsort(order))
    return Transform(lambda a: np.transpose(a, order), lambda a: np.transpose(a, back))


SAME = Transform(lambda a: a, lambda a: a)
TRANSPOSE = axes(1, 0)  # Linear: [out, in] and [in, out]
CONV1D = axes(2, 1, 0)  # [O, I, k] and [k, I, O]; grouped alike, I being the channels of one group
CONV2D = axes(2, 3, 1, 0)  # [O, I, h, w] and [h, w, I, O]
CONV3D = axes(2, 3, 4, 1, 0)  # [O, I, d, h, w] and [d, h, w, I, O]
CONV_TRANSPOSE1D = axes(2, 0, 1)  # [I, O, k] and [k, I, O], taps in PyTorch's order (not flipped)
DEPTHWISE1D = Transform(lambda a: a[:, 0].T, lambda a: a.T[:, None])  # [C, 1, k] and [k, C]


@dataclass(frozen=True)
class Entry:
    """One line of a table.

    Attributes:
        foreign: key in the foreign file; `{i}` in it is the layer's index where `stack` is set.
        ours: dotted path of our parameter or statistic. Empty for what we have no use for, such as
            `num_batches_tracked`: passed over on import, where it may be missing, and the integer 0 on export.
        transform: how the tensor's axes turn.
        stack: if above 0, ours has a leading axis of that length, one foreign tensor to each index.
        aliases: other spellings of `foreign` accepted on import.
        optional: either side may lack it.
    """

    foreign: str
    ours: str
    transform: Transform = SAME
    stack: int = 0
    aliases: tuple[str, ...] = ()
    optional: bool = False

    def keys(self) -> list[tuple[str, ...]]:
        """For each foreign tensor of the entry the names that it may have, the preferred one first."""
        names = (self.foreign, *self.aliases)
        if not self.stack:
            return [names]
        return [tuple(name.replace("{i}", str(index)) for name in names) for index in range(self.stack)]


def linear(foreign: str, ours: str, stack: int = 0, bias: bool = True) -> list[Entry]:
    """The entries of a `torch.nn.Linear` and our `nnx.Linear`, by their prefixes."""
    weight = Entry(f"{foreign}.weight", f"{ours}.kernel", TRANSPOSE, stack)
    return [weight, Entry(f"{foreign}.bias", f"{ours}.bias", stack=stack)] if bias else [weight]


def norm(foreign: str, ours: str, stack: int = 0) -> list[Entry]:
    """The entries of a `torch.nn.LayerNorm` or `GroupNorm` and ours, by their prefixes."""
    names = (("weight", "scale"), ("bias", "bias"))
    return [Entry(f"{foreign}.{theirs}", f"{ours}.{name}", stack=stack) for theirs, name in names]


def batch_norm(foreign: str, ours: str) -> list[Entry]:
    """The entries of a `torch.nn.BatchNorm*d` and our `nnx.BatchNorm`, by their prefixes."""
    statistics = (("running_mean", "mean"), ("running_var", "var"))
    return [
        *norm(foreign, ours),
        *(Entry(f"{foreign}.{theirs}", f"{ours}.{name}") for theirs, name in statistics),
        Entry(f"{foreign}.num_batches_tracked", ""),
    ]


def below(part: str, table: Sequence[Entry]) -> list[Entry]:
    """The table of a part of a system that has the same name on both sides."""
    return [
        replace(
            entry,
            foreign=f"{part}.{entry.foreign}",
            ours=entry.ours and f"{part}.{entry.ours}",
            aliases=tuple(f"{part}.{alias}" for alias in entry.aliases),
        )
        for entry in table
    ]


def text_keys(state: Mapping[Any, Any], where: Any) -> dict[str, Any]:
    """A file's tensors, whose keys are all text.

    Raises:
        V2SError: they are not.
    """
    odd = next((key for key in state if not isinstance(key, str)), None)
    if odd is not None:
        raise V2SError(f"{where}: one of its tensors has the key {shown(odd)}; expected names, as in a state dict")
    return dict(state)


def unwrapped(state: Mapping[Any, Any], where: Any) -> dict[str, Any]:
    """A file's tensors without the `module.` that `DataParallel` puts before every key.

    Raises:
        V2SError: a key is no text.
    """
    named = text_keys(state, where)
    prefix = _WRAPPER if all(key.startswith(_WRAPPER) for key in named) else ""
    return {key.removeprefix(prefix): value for key, value in named.items()}


def shape_of(state: Mapping[str, Any], keys: Iterable[str], default: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of the first of several tensors that is there with as many axes as the default; else the default."""
    shapes = (state[key].shape for key in keys if isinstance(state.get(key), np.ndarray))
    return next((shape for shape in shapes if len(shape) == len(default)), default)


def count(state: Iterable[str], pattern: str) -> int:
    """How many numbered parts there are: one more than the highest number that the pattern's group has in a key."""
    found = (re.match(pattern, key) for key in state)
    return 1 + max((int(match[1]) for match in found if match), default=-1)


def import_weights(
    entries: Sequence[Entry],
    foreign: Mapping[Any, Any],
    shapes: Mapping[str, tuple[int, ...]],
    where: Any,
    leave: Callable[[str], bool] = lambda key: False,
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Foreign tensors as ours, in float32.

    Args:
        entries: the table.
        foreign: the file's tensors by key; float16, bfloat16, float32 or float64.
        shapes: of every weight of our model, by dotted path. An optional entry whose path is not among them is no
            entry, so its foreign keys count as unused.
        where: the file, to be named in an error.
        leave: whether a key that no entry wants is to be left alone, being of a part of the file not asked for.

    Returns:
        Our weights by dotted path, without those of optional entries that the file lacks, and the keys left alone.

    Raises:
        V2SError: keys are missing, unused, misshapen, given twice or no tensors of floats; all are listed.
    """
    entries = _known(entries, shapes)
    problems = list(_table_problems(entries, shapes))
    used = {name for entry in entries for names in entry.keys() for name in names if name in foreign}
    weights = {}
    for entry in entries:
        if entry.ours not in shapes:
            continue
        shape = shapes[entry.ours][1:] if entry.stack else shapes[entry.ours]
        keys, wrong = _find(entry, foreign, shape)
        problems += wrong
        if keys and not wrong:
            parts = [np.asarray(entry.transform.to_ours(foreign[key]), np.float32, order="C") for key in keys]
            weights[entry.ours] = np.stack(parts) if entry.stack else parts[0]
    spare = [key for key in foreign if key not in used]
    left = [key for key in spare if isinstance(key, str) and leave(key)]
    kept_out = set(left)
    problems += [f"unused {shown(key)}" for key in spare if key not in kept_out]
    if problems:
        raise V2SError(f"{where}: not the weights of the model that its config describes ({'; '.join(problems)})")
    return weights, left


def export_weights(entries: Sequence[Entry], ours: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Our weights under their foreign keys: what `import_weights` takes.

    Args:
        entries: the table.
        ours: arrays by dotted path.

    Raises:
        V2SError: weights are missing or unused, or not of the table's number of layers; all are listed.
    """
    entries = _known(entries, ours)
    problems = list(_table_problems(entries, {name: np.shape(value) for name, value in ours.items()}))
    if problems:
        raise V2SError(f"these weights cannot be exported: another model than the table's ({'; '.join(problems)})")
    foreign = {}
    for entry in entries:
        for index, names in enumerate(entry.keys()):
            if entry.ours:
                part = np.asarray(ours[entry.ours][index] if entry.stack else ours[entry.ours])
                foreign[names[0]] = np.asarray(entry.transform.to_foreign(part), order="C")
            else:
                foreign[names[0]] = np.zeros((), np.int64)
    return foreign


def _known(entries: Sequence[Entry], ours: Mapping[str, Any]) -> list[Entry]:
    """The entries without the optional ones that our model does not have."""
    return [entry for entry in entries if not entry.optional or not entry.ours or entry.ours in ours]


def _table_problems(entries: Sequence[Entry], shapes: Mapping[str, tuple[int, ...]]) -> Iterator[str]:
    """In what table and model do not fit together, as parts of a sentence."""
    wanted = [entry.ours for entry in entries if entry.ours]
    keys = [key for entry in entries for names in entry.keys() for key in names]
    yield from (f"the table has {name} twice" for names in (wanted, keys) for name in _twice(names))
    yield from (f"the table lacks {name}" for name in sorted(shapes.keys() - set(wanted)))
    yield from (f"the model lacks {name}" for name in wanted if name not in shapes)
    for entry in entries:
        if entry.stack and entry.ours in shapes and shapes[entry.ours][:1] != (entry.stack,):
            yield f"{entry.ours} is {tuple(shapes[entry.ours])}, expected {entry.stack} layers"


def _twice(names: Sequence[str]) -> list[str]:
    seen: set[str] = set()
    return [name for name in names if name in seen or seen.add(name)]  # type: ignore[func-returns-value]


def _find(entry: Entry, foreign: Mapping[str, Any], shape: tuple[int, ...]) -> tuple[list[str], list[str]]:
    """The keys of an entry's tensors, each to have a `shape` of ours, and what is wrong with them."""
    present = [[name for name in names if name in foreign] for names in entry.keys()]
    if entry.optional and not any(present):
        return [], []
    problems = [f"missing {names[0]}" for names, found in zip(entry.keys(), present, strict=True) if not found]
    problems += [f"{' and '.join(found)} are one tensor given twice" for found in present if len(found) > 1]
    keys = [found[0] for found in present if found]
    return keys, problems + [
        problem for key in keys if (problem := _mistake(key, foreign[key], entry.transform, shape))
    ]


def _mistake(key: str, value: Any, transform: Transform, shape: tuple[int, ...]) -> str | None:
    """What is wrong with one foreign tensor, judged by its shape and type alone."""
    if not isinstance(value, np.ndarray) or value.dtype.name not in _FLOATS:
        return f"{key} is {getattr(value, 'dtype', type(value).__name__)}, expected a tensor of floats"
    expected = transform.to_foreign(np.broadcast_to(np.float32(0), shape)).shape
    return None if value.shape == expected else f"{key} is {value.shape} instead of {expected}"
