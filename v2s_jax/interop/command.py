"""`v2s-jax import`: a published encoder or vocoder as a folder that everything here loads."""

import argparse
import importlib
from pathlib import Path

from v2s_jax.interop import LOADERS, OWN, card
from v2s_jax.interop.load import assemble
from v2s_jax.models.folder import DTYPES, check_free, save_model

HELP = "read a published PyTorch checkpoint and write it as a folder of this package"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's options."""
    parser.add_argument("kind", choices=[kind for kind in LOADERS if kind not in OWN], help="what the file holds")
    parser.add_argument("file", type=Path, metavar="FILE", help="checkpoint: .pt, .pth, .bin, .ckpt, .safetensors")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder to make")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="the JSON config published beside the file (hifigan, hubert)"
    )
    parser.add_argument("--dtype", choices=DTYPES, default="float32", help="of matrices in the folder's file")


def run(args: argparse.Namespace) -> int:
    """Imports and says what was taken, what was left and under which terms."""
    check_free(args.out)
    reader = importlib.import_module(f"v2s_jax.interop.{args.kind}")
    model, info = assemble(*reader.read(args.file, args.config))
    count = card.parameters(model.module)
    text = card.part_card(args.out.name, args.kind, count, info)
    save_model(args.out, model.config, model.module, info, text, args.dtype)
    size = sum(path.stat().st_size for path in args.out.iterdir())
    print(f"{args.out}: {args.kind}, {count:,} parameters, {size / 1e6:.1f} MB, from {info['source']} ({info['kind']})")
    if info["left"]:
        print(f"Left out: {card.left_out(info['left'])}.")
    for warning in info.get("warnings", ()):
        print(f"Note: {warning}")
    print(f"Licence: {info['licence']}")
    return 0
