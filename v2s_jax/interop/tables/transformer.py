"""The encoder of wav2vec 2.0 under its two sets of names, and our `models/transformer.py`."""

from typing import NamedTuple

from v2s_jax.interop.table import CONV1D, Entry, Transform, linear, norm

_GAIN = Transform(lambda a: a[0, 0], lambda a: a[None, None])  # one for each tap; [1, 1, k] there


class Names(NamedTuple):
    """Where one program keeps the parts of the encoder.

    Attributes:
        pos_conv: the positional convolution.
        weight: its gain and its direction, as this program's newest version writes them.
        query: what a layer's queries, keys, values and attended values go through.
        key: likewise.
        value: likewise.
        out: likewise.
        attention_norm: the norm before or after attention.
        widen: the first half of the feed-forward part.
        narrow: the second.
        final_norm: the norm before or after it.
    """

    pos_conv: str
    weight: tuple[str, str]
    query: str
    key: str
    value: str
    out: str
    attention_norm: str
    widen: str
    narrow: str
    final_norm: str


_OLD = ("weight_g", "weight_v")
_NEW = ("parametrizations.weight.original0", "parametrizations.weight.original1")

FAIRSEQ = Names(
    pos_conv="pos_conv.0",
    weight=_OLD,
    query="self_attn.q_proj",
    key="self_attn.k_proj",
    value="self_attn.v_proj",
    out="self_attn.out_proj",
    attention_norm="self_attn_layer_norm",
    widen="fc1",
    narrow="fc2",
    final_norm="final_layer_norm",
)
TRANSFORMERS = Names(
    pos_conv="pos_conv_embed.conv",
    weight=_NEW,
    query="attention.q_proj",
    key="attention.k_proj",
    value="attention.v_proj",
    out="attention.out_proj",
    attention_norm="layer_norm",
    widen="feed_forward.intermediate_dense",
    narrow="feed_forward.output_dense",
    final_norm="final_layer_norm",
)


def entries(layers: int, names: Names) -> list[Entry]:
    """The table of an encoder, below `encoder.` on both sides.

    Args:
        layers: how many.
        names: `FAIRSEQ` or `TRANSFORMERS`.
    """
    foreign = f"encoder.{names.pos_conv}"
    spelling, other = (_OLD, _NEW) if names.weight == _OLD else (_NEW, _OLD)
    table = [
        Entry(f"{foreign}.bias", "encoder.pos_conv.bias"),
        Entry(f"{foreign}.{spelling[0]}", "encoder.pos_conv.weight_g", _GAIN, aliases=(f"{foreign}.{other[0]}",)),
        Entry(f"{foreign}.{spelling[1]}", "encoder.pos_conv.weight_v", CONV1D, aliases=(f"{foreign}.{other[1]}",)),
    ]
    table += norm("encoder.layer_norm", "encoder.norm")
    for part in ("query", "key", "value", "out", "widen", "narrow"):
        table += linear(f"encoder.layers.{{i}}.{getattr(names, part)}", f"encoder.layers.{part}", layers)
    for part in ("attention_norm", "final_norm"):
        table += norm(f"encoder.layers.{{i}}.{getattr(names, part)}", f"encoder.layers.{part}", layers)
    return table
