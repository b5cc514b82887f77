"""How the kernels of each model family are split when `mesh.tensor` is more than 1.

The product of a kernel split by columns with one split by rows needs one sum over the chips at its end and nothing
between (Shoeybi et al. 2019, arXiv 1909.08053, section 3): the feed-forward parts are such pairs, and so is attention,
whose heads are split. The other dimension is split over `fsdp`. What no rule names, or a rule does not fit (a width
that its axis does not divide), follows the default of `mesh.parameter_spec`.

Names are those of `v2s_jax/models`; a rule says how the last two dimensions lie, for layers may be stacked along a
first one. `config.mesh.rules` come before these.
"""

COLUMNS, ROWS = ("fsdp", "tensor"), ("tensor", "fsdp")

FAMILIES = {
    # AV-HuBERT, HuBERT and the mel transformer: models/transformer.py
    "transformer": (
        (r"(.*/)?layers/(\d+/)?(query|key|value|widen)/kernel", COLUMNS),
        (r"(.*/)?layers/(\d+/)?(out|narrow)/kernel", ROWS),
    ),
    # models/conformer.py
    "conformer": (
        (r"(.*/)?blocks/\d+/(attention/(query|key|value|position)|feed_forward[12]/widen)/kernel", COLUMNS),
        (r"(.*/)?blocks/\d+/(attention/out|feed_forward[12]/narrow)/kernel", ROWS),
    ),
    # models/dit.py: queries, keys and values are one kernel, which cannot be split by heads; names as above otherwise
    "dit": ((r"(.*/)?layers/(\d+/)?qkv/kernel", ("fsdp", None)),),
}
TENSOR_RULES = tuple(rule for rules in FAMILIES.values() for rule in rules)
