"""`interop/torch/av2a.py` and `av2a_wavegan.py`, and our systems of those names."""

from collections.abc import Mapping
from typing import Any

from v2s_jax.interop.table import CONV1D, CONV_TRANSPOSE1D, Entry, below, linear, norm
from v2s_jax.interop.tables import svts


def entries(config: Mapping[str, Any]) -> list[Entry]:
    """The table of an AV2A in either domain; `config` is its `system` section."""
    sees, hears = config["procedure"] != "audio", config["procedure"] != "video"
    return [
        *(svts.frontend(config) if sees else []),
        *svts.decoder(config, modality_norm),
        *(below("generator", generator(config["generator"])) if "generator" in config else linear("head", "head")),
        *(below("audio_encoder", audio_encoder(config["audio_encoder"])) if hears else []),
        *(linear("project_audio", "project_audio", bias=False) if hears else []),
        *(below("base", base_entries(config["v2a"])) if config["base"] == "v2a" else []),
    ]


def base_entries(config: Mapping[str, Any]) -> list[Entry]:
    """The table of a base, of a kind that has a module."""
    return {"svts": svts.entries, "av2a": entries, "av2a_wavegan": entries}[config["name"]](config)


def modality_norm(foreign: str, ours: str) -> list[Entry]:
    """A batch norm with statistics of every state."""
    statistics = (("running_mean", "mean"), ("running_var", "var"))
    return [*norm(foreign, ours), *(Entry(f"{foreign}.{theirs}", f"{ours}.{name}") for theirs, name in statistics)]


def audio_encoder(config: Mapping[str, Any]) -> list[Entry]:
    """The audio encoder; `config` is its section."""
    convs, norms = ["halve1", "halve2"], ["norm"]
    for index in range(config["blocks"]):
        convs += [f"blocks.{index}.conv1", f"blocks.{index}.conv2"]
        norms += [f"blocks.{index}.norm1", f"blocks.{index}.norm2"]
    table = [entry for name in norms for entry in norm(name, name)]
    for name in convs:
        table += [Entry(f"{name}.weight", f"{name}.kernel", CONV1D), Entry(f"{name}.bias", f"{name}.bias")]
    return table


def generator(config: Mapping[str, Any]) -> list[Entry]:
    """The generator of waveforms; `config` is its section."""
    table = [Entry("last.weight", "last.kernel", CONV1D), Entry("last.bias", "last.bias")]
    for index in range(len(config["rates"])):
        table.append(Entry(f"stages.{index}.conv.weight", f"stages.{index}.kernel", CONV_TRANSPOSE1D))
        table += modality_norm(f"stages.{index}.norm", f"stages.{index}.norm")
    return table
