"""`v2s-jax export`: a trained system or a part as a folder to hand on, for us or for the code that published it."""

import argparse
from pathlib import Path
from typing import Any, NamedTuple

from flax import nnx
from ml_collections import ConfigDict

import v2s_jax
from v2s_jax.arguments import positive
from v2s_jax.errors import V2SError
from v2s_jax.interop.card import parameters, part_card
from v2s_jax.interop.load import Info
from v2s_jax.interop.original import write_original
from v2s_jax.models.folder import DTYPES, check_free, read_model, save_model
from v2s_jax.models.registry import MODELS
from v2s_jax.models.settings import CARD, section_of
from v2s_jax.synthesis.pretrained import is_workdir, load_pretrained, locate
from v2s_jax.systems.base import speaks
from v2s_jax.systems.pretrained import save_pretrained

HELP = "write a trained model as a folder with its config, weights and model card"


class Found(NamedTuple):
    """A model to export.

    Attributes:
        config: the whole experiment of a system, or that of a part alone.
        module: in evaluation mode.
        info: where a part comes from; None of a system.
        card: that it had.
    """

    config: ConfigDict
    module: Any
    info: Info | None
    card: str | None

    @property
    def kind(self) -> str:
        """Its name in the registry of systems or of parts."""
        return self.config.system.name if self.info is None else self.config.name


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's options."""
    parser.add_argument("--model", required=True, metavar="NAME-OR-PATH", help="training workdir or other model")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder to make")
    parser.add_argument("--part", metavar="NAME", help="only this part of a system, such as a vocoder's generator")
    parser.add_argument(
        "--layout",
        choices=("native", "original"),
        default="native",
        help="native: for this package and v2s_jax.interop.torch; original: what the part's published code loads",
    )
    parser.add_argument(
        "--format",
        choices=("folder", "stablehlo"),
        default="folder",
        help="folder: config and weights; stablehlo: programs of a speaking model that run by jax alone",
    )
    parser.add_argument("--vocoder", metavar="NAME-OR-PATH", help="of stablehlo (default: what the config says)")
    parser.add_argument(
        "--frames", type=_lengths, default=(), metavar="N,N", help="lengths of stablehlo programs (default: the ladder)"
    )
    parser.add_argument(
        "--batch-size",
        type=positive,
        metavar="N",
        help="of stablehlo programs, which a CPU runs faster if it is known (default: any, where the model allows it)",
    )
    parser.add_argument("--dtype", choices=DTYPES, default="float32", help="of matrices in the file")
    parser.add_argument(
        "--share",
        type=_shared,
        action="append",
        default=[],
        metavar="PART=FOLDER/PART",
        help="leave a part to a folder beside DIR that has the same, such as a frozen encoder",
    )
    parser.add_argument("--card", type=Path, metavar="FILE", help="model card in Markdown (default: one is made)")


def run(args: argparse.Namespace) -> int:
    """Exports and says what was written."""
    check_free(args.out)
    if args.share and (args.format == "stablehlo" or args.part or args.layout == "original"):
        raise V2SError("--share is of a system's folder; leave --format, --part and --layout out")
    if args.format == "stablehlo":
        return _export_programs(args)
    given = _read(args.card) if args.card else None
    found = find(args.model)
    found = take_part(found, args.part, args.model) if args.part else found
    name, count = args.out.name, parameters(found.module)
    if found.info is not None:
        original = args.layout == "original"
        kept = None if original else found.card  # which tells how to use a native folder
        card = given or kept or part_card(name, found.kind, count, found.info, original)
        write = write_original if original else save_model
        write(args.out, found.config, found.module, found.info, card, args.dtype)
    elif args.layout == "original":
        parts = ", ".join(parts_of(found.config))
        hint = f"name a part of it with --part: {parts}" if parts else "export it without --layout"
        raise V2SError(f"{args.model}: {found.kind} as a whole was never published in another layout; {hint}")
    else:
        config, params, stats = handed_on(found)
        card = given or found.card or model_card(name, config, count, speaks(found.module))
        save_pretrained(args.out, config, params, stats, card, args.dtype, dict(args.share))
    size = sum(path.stat().st_size for path in args.out.iterdir())
    print(f"{args.out}: {found.kind}, {count:,} parameters, {size / 1e6:.1f} MB")
    return 0


def _export_programs(args: argparse.Namespace) -> int:
    if args.part or args.layout == "original" or args.dtype != "float32":
        raise V2SError("--format stablehlo is of a whole model in float32; leave --part, --layout and --dtype out")
    from v2s_jax.synthesis.stablehlo_export import write_stablehlo
    from v2s_jax.synthesis.synthesizer import Synthesizer

    found = find(args.model)
    if found.info is not None:
        raise V2SError(f"{args.model}: a {found.kind} alone does not speak; name a system for --format stablehlo")
    synthesizer = Synthesizer.from_pretrained(args.model, args.batch_size or 1, vocoder=args.vocoder)
    own = _read(args.card) if args.card else found.card
    card = own or model_card(args.out.name, found.config, parameters(found.module), True)
    about = write_stablehlo(args.out, synthesizer, card, args.frames, args.batch_size)
    size = sum(path.stat().st_size for path in args.out.iterdir())
    print(
        f"{args.out}: programs of {', '.join(map(str, about['frames']))} frames, "
        f"{'any number' if about['rows'] is None else about['rows']} of rows, {size / 1e6:.1f} MB"
        + ("" if about["waveform"] else "; to the mel alone, since griffin_lim is no network")
    )
    return 0


def _shared(text: str) -> tuple[str, str]:
    part, _, place = text.partition("=")
    if not part or not place:
        raise argparse.ArgumentTypeError(f"{text!r}: expected PART=FOLDER/PART, such as encoder=other/encoder")
    return part, place


def _lengths(text: str) -> tuple[int, ...]:
    return tuple(positive(part) for part in text.split(","))


def find(name_or_path: str) -> Found:
    """The system or part of a shipped model, an exported or imported folder, or a training workdir.

    Raises:
        V2SError: there is no such model, or it is damaged.
    """
    folder = locate(name_or_path)
    card = _read(folder / CARD) if not is_workdir(folder) and (folder / CARD).is_file() else None
    if not is_workdir(folder) and section_of(folder) == "model":
        config, info, module = read_model(folder)
        return Found(config, module, info, card)
    return Found(*load_pretrained(name_or_path), None, card)


def handed_on(found: Found) -> tuple[ConfigDict, dict, dict]:
    """Config, parameters and statistics of a system without what only its training needs."""
    _, *states = nnx.split(found.module, nnx.Param, ...)
    params, stats = map(nnx.to_pure_dict, states)
    if not hasattr(found.module, "handed_on"):
        return found.config, params, stats
    config = found.config.copy_and_resolve_references()
    config.system, left = found.module.handed_on(config.system)
    return config, *({name: tree for name, tree in state.items() if name not in left} for state in (params, stats))


def take_part(found: Found, name: str, source: str) -> Found:
    """One part of a system, on its own.

    Args:
        found: the system.
        name: of the part: its key in the system's section and the system's attribute.
        source: the system's folder.

    Raises:
        V2SError: there is no such part.
    """
    parts = [] if found.info is not None else parts_of(found.config)
    if name not in parts:
        raise V2SError(f"{source}: {found.kind} has no part {name!r}; expected one of: {', '.join(parts) or 'none'}")
    data = _data_sets(found.config)
    info = {
        "source": Path(source).resolve().name,
        "kind": f"the {name} of a {found.kind} trained with v2s_jax on {data}",
        "left": [],
        "licence": f"Whoever trained it decides, within the terms of the data ({data}).",
    }
    return Found(found.config.system[name], getattr(found.module, name), info, None)


def parts_of(config: ConfigDict) -> list[str]:
    """Which sections of a system's config are those of parts that stand on their own."""
    sections = [(name, value) for name, value in config.system.items() if isinstance(value, ConfigDict)]
    return sorted(name for name, section in sections if section.get("name") in MODELS)


def model_card(name: str, config: ConfigDict, count: int, speaks: bool) -> str:
    """What is known of a system from its config alone, as Markdown; figures and licence are for its maker to add.

    Args:
        name: of the model.
        config: the experiment it comes from.
        count: how many parameters it has.
        speaks: whether it turns video into speech; other systems train parts.
    """
    train, data = config.get("train", {}), config.get("data", {})
    facts = {
        "system": config.system.name,
        "parameters": f"{count:,}",
        "data set": _data_sets(config),
        "batch size": data.get("batch_size", "unknown"),
        "steps": train.get("steps", "unknown"),
        "seed": config.get("seed", "unknown"),
        "exported with": f"v2s_jax {v2s_jax.__version__}",
    }
    rows = "\n".join(f"| {key} | {value} |" for key, value in facts.items())
    purpose = (
        "A video-to-speech model: silent video of a talking face in, speech out."
        if speaks
        else "A trained part of such models."
    )
    use = (
        f"v2s-jax synthesize CLIP --model {name} --out DIR" if speaks else f"v2s-jax export --model {name} --part PART"
    )
    warning = (
        " Speech made from pictures alone is a guess: do not take it as evidence of what somebody said, and do not use "
        "it on people who have not agreed to it."
    )
    return (
        f"# {name}\n\n{purpose}\n\n| | |\n|---|---|\n{rows}\n\n```\n{use}\n```\n\n"
        f"The whole experiment is in `config.json`.{warning * speaks}\n"
    )


def _data_sets(config: ConfigDict) -> str:
    """The last names of the folders that a model was trained on, each once."""
    paths = (config.get("data", {}).get("path") or "unknown").split(",")
    return ", ".join(dict.fromkeys(Path(path).name for path in paths))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise V2SError(f"{path}: not readable as a model card ({error}); expected a Markdown file") from error
