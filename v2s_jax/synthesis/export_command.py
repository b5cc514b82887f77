"""`v2s-jax export`: a training run as a folder to hand on."""

import argparse
from pathlib import Path

from flax import nnx
from ml_collections import ConfigDict

import v2s_jax
from v2s_jax.errors import V2SError
from v2s_jax.models.folder import CARD, DTYPES, flat_names
from v2s_jax.synthesis.pretrained import is_workdir, load_pretrained, locate
from v2s_jax.systems.pretrained import save_pretrained

HELP = "write a trained model as a folder with its config, weights and model card"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's options."""
    parser.add_argument("--model", required=True, metavar="NAME-OR-PATH", help="training workdir or other model")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder to make")
    parser.add_argument("--dtype", choices=DTYPES, default="float32", help="of matrices in the file")
    parser.add_argument("--card", type=Path, metavar="FILE", help="model card in Markdown (default: one is made)")


def run(args: argparse.Namespace) -> int:
    """Exports and says what was written."""
    card = _read(args.card) if args.card else None
    folder = locate(args.model)
    config, system = load_pretrained(args.model)
    _, *states = nnx.split(system, nnx.Param, ...)
    params, stats = map(nnx.to_pure_dict, states)
    count = sum(leaf.size for leaf in flat_names(params).values())
    if card is None and not is_workdir(folder) and (folder / CARD).is_file():
        card = _read(folder / CARD)
    save_pretrained(args.out, config, params, stats, card or model_card(args.out.name, config, count), args.dtype)
    size = sum(path.stat().st_size for path in args.out.iterdir())
    print(f"{args.out}: {config.system.name}, {count:,} parameters, {size / 1e6:.1f} MB")
    return 0


def model_card(name: str, config: ConfigDict, parameters: int) -> str:
    """What is known of a model from its config alone, as Markdown; figures and licence are for its maker to add.

    Args:
        name: of the model.
        config: the experiment it comes from.
        parameters: how many scalars it has.
    """
    train, data = config.get("train", {}), config.get("data", {})
    facts = {
        "system": config.system.name,
        "parameters": f"{parameters:,}",
        "data set": Path(data.get("path") or "unknown").name,
        "batch size": data.get("batch_size", "unknown"),
        "steps": train.get("steps", "unknown"),
        "seed": config.get("seed", "unknown"),
        "exported with": f"v2s_jax {v2s_jax.__version__}",
    }
    rows = "\n".join(f"| {key} | {value} |" for key, value in facts.items())
    return (
        f"# {name}\n\nA video-to-speech model: silent video of a talking face in, speech out.\n\n"
        f"| | |\n|---|---|\n{rows}\n\n"
        f"```\nv2s-jax synthesize CLIP --model {name} --out DIR\n```\n\n"
        "The whole experiment is in `config.json`. Speech made from pictures alone is a guess: do not take it as "
        "evidence of what somebody said, and do not use it on people who have not agreed to it.\n"
    )


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise V2SError(f"{path}: not readable as a model card ({error}); expected a Markdown file") from error
