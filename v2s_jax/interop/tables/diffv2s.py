"""`interop/torch/diffv2s.py` and our `systems/diffv2s.py`."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from v2s_jax.interop.table import Entry, linear
from v2s_jax.interop.tables import avhubert, denoisers


def entries(config: Mapping[str, Any]) -> list[Entry]:
    """The table of a DiffV2S; `config` is its `system` section."""
    return [
        *_below("encoder", avhubert.entries(config["encoder"])),
        *(Entry(f"prompts.{modality}", f"prompts.{modality}") for modality in ("video", "audio")),
        *linear("project", "project"),
        *_below("decoder", denoisers.entries(config["decoder"])),
    ]


def _below(part: str, table: Sequence[Entry]) -> list[Entry]:
    """The table of a part of a system that has the same name on both sides."""
    return [
        dataclasses.replace(
            entry,
            foreign=f"{part}.{entry.foreign}",
            ours=entry.ours and f"{part}.{entry.ours}",
            aliases=tuple(f"{part}.{alias}" for alias in entry.aliases),
        )
        for entry in table
    ]
