"""`interop/torch/diffv2s.py` and our `systems/diffv2s.py`."""

from collections.abc import Mapping
from typing import Any

from v2s_jax.interop.table import Entry, below, linear
from v2s_jax.interop.tables import avhubert, denoisers


def entries(config: Mapping[str, Any]) -> list[Entry]:
    """The table of a DiffV2S; `config` is its `system` section."""
    return [
        *below("encoder", avhubert.entries(config["encoder"])),
        *(Entry(f"prompts.{modality}", f"prompts.{modality}") for modality in ("video", "audio")),
        *linear("project", "project"),
        *below("decoder", denoisers.entries(config["decoder"])),
    ]
