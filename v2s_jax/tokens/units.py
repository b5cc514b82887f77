"""Units for a data set: what is clustered, the codebook (given, or fitted on the data set), and the clusters' ids."""

import argparse
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from v2s_jax.data.metadata import METADATA_FILE
from v2s_jax.data.schema import Record
from v2s_jax.data.shards import ShardedDataset
from v2s_jax.data.staging import writing_to
from v2s_jax.data.tokens import Tagger
from v2s_jax.errors import V2SError
from v2s_jax.features import kmeans
from v2s_jax.features.mfcc import N_MFCC
from v2s_jax.features.units import MOST_UNITS, Codebook, load_codebook, mfcc_features, save_codebook
from v2s_jax.progress import progress

CODEBOOK_FILE = "codebook.safetensors"
FIT_FRAMES = 2_000_000  # 11 hours of speech; more would hardly move a few hundred centroids
OPTIONS: dict[str, dict[str, Any]] = {
    "--units": {"choices": ("mfcc", "hubert"), "help": "add units (50 Hz): clusters of MFCCs or of a layer of HuBERT"},
    "--hubert": {"metavar": "MODEL", "help": "units hubert: an imported folder or a published file"},
    "--layer": {"type": int, "metavar": "N", "help": "units hubert: which layer, from 1 (default: the codebook's)"},
    "--codebook": {
        "type": Path,
        "metavar": "FILE",
        "help": f"centroids, .safetensors, .npy or .npz (default: fitted on train, kept as OUT/{CODEBOOK_FILE})",
    },
    "--clusters": {"type": int, "default": 100, "metavar": "K", "help": "how many to fit (default: 100)"},
    "--seed": {"type": int, "default": 0, "metavar": "N", "help": "of the fit (default: 0)"},
}


class Features(NamedTuple):
    """What units are clusters of.

    Attributes:
        compute: from a waveform of 640 samples to a video frame to two rows to a frame.
        width: numbers in a row.
        about: what the rows depend on, in JSON's kinds.
    """

    compute: Callable[[np.ndarray], np.ndarray]
    width: int
    about: Mapping[str, Any]


def units(args: argparse.Namespace) -> Tagger | None:
    """Ids of the nearest centroids; None if no units are asked for. A codebook that is not given is fitted here.

    Raises:
        V2SError: options do not go together, there is no such HuBERT or codebook, or the two do not fit.
    """
    if args.units != "hubert" and (args.hubert or args.layer):
        raise V2SError("--hubert and --layer are for --units hubert")
    if args.units is None:
        if args.codebook:
            raise V2SError("--codebook is for --units: add --units mfcc or --units hubert")
        return None
    codebook = load_codebook(args.codebook) if args.codebook else None
    features = _features(args, codebook)
    if codebook is None:
        codebook = fitted(features, args.data, args.out, args.clusters, args.seed)
    else:
        check(codebook, features, args.codebook)
        keep(codebook, args.out)
    about = {**features.about, "clusters": len(codebook.centroids), "codebook": codebook.fingerprint}
    return Tagger("units", about, lambda record: codebook(features.compute(_audio(record))))


def _features(args: argparse.Namespace, codebook: Codebook | None) -> Features:
    if args.units == "mfcc":
        return Features(mfcc_features, N_MFCC, {"feature": "mfcc"})
    layer = args.layer or (codebook.info.get("layer") if codebook else None)
    if not args.hubert or not layer:
        raise V2SError("--units hubert needs --hubert MODEL and --layer N (a codebook may know its layer)")
    from v2s_jax.tokens.hubert_features import HubertFeatures  # the model stack, for these units alone

    hubert = HubertFeatures(args.hubert, layer)
    return Features(hubert, hubert.width, hubert.about)


def check(codebook: Codebook, features: Features, path: Path) -> None:
    """Passes if the codebook's centroids can be of these features.

    Raises:
        V2SError: they are of another kind, layer, model or width.
    """
    for name in ("feature", "layer", "weights"):
        there, here = codebook.info.get(name), features.about.get(name)
        if there is not None and there != here:
            raise V2SError(f"{path}: its centroids are of the {name} {there!r}, but {here!r} was asked for")
    width = codebook.centroids.shape[1]
    if width != features.width:
        raise V2SError(f"{path}: its centroids have {width} numbers, but those features have {features.width}")


def fitted(features: Features, data: Path, out: Path, clusters: int, seed: int, most: int = FIT_FRAMES) -> Codebook:
    """The codebook in `out` if it was fitted just so; otherwise one that is fitted now, and kept there.

    Args:
        features: to be clustered.
        data: a prepared data set; clips of `train` are taken in random order.
        out: a folder.
        clusters: how many.
        seed: of the order and the fit.
        most: frames; what comes after is not looked at.

    Raises:
        V2SError: there is too little sound in `data`, `clusters` is out of range, or `out` is a finished data set
            without these units.
    """
    if not 1 <= clusters <= MOST_UNITS:
        raise V2SError(f"--clusters is {clusters}: expected 1 to {MOST_UNITS}, as many as a record can tell apart")
    dataset = ShardedDataset(data, "train")
    about = {**features.about, "clusters": clusters, "seed": seed}
    about |= {"data": data.resolve().name, "fingerprint": dataset.fingerprint, "most_frames": most}
    kept = out / CODEBOOK_FILE
    if kept.exists():
        codebook = load_codebook(kept)
        if about.items() <= codebook.info.items():
            return codebook
    if (out / METADATA_FILE).exists():
        raise V2SError(f"{out} is already a finished data set, without these units; give another --out or remove it")
    found = kmeans.fit(_rows(features, dataset, seed, most), clusters, seed)
    codebook = Codebook(found.centroids, {**about, "inertia": found.inertia, "frames": found.frames})
    keep(codebook, out)
    return codebook


def keep(codebook: Codebook, out: Path) -> None:
    """Writes the codebook beside the data set that is to be, unless that is finished."""
    if not (out / METADATA_FILE).exists():
        with writing_to(out):
            save_codebook(out / CODEBOOK_FILE, codebook)


def _rows(features: Features, dataset: ShardedDataset, seed: int, most: int) -> Iterator[np.ndarray]:
    """Features of clips in random order, so many rows or a few more."""
    indices = dataset.indices_with({"audio"})
    order = np.random.default_rng(seed).permutation(indices)
    total = 0
    for index in progress(order, len(order), "clips to fit"):
        if total >= most:
            break
        rows = features.compute(_audio(dataset.read(int(index), {"audio"})))
        total += len(rows)
        yield rows


def _audio(record: Record) -> np.ndarray:
    assert record.audio is not None  # a tagger's `needs`
    return record.audio
