"""How much of the variance that a regression loses is best given back, by the setting `synthesis.contrast`.

Command: `v2s-jax ablate configs/ablations/contrast.py --model MODEL --data DIR --split val --out DIR`
"""


def get_variants():
    """None of it to half as much again; they share a program."""
    return [{"name": f"contrast-{c:g}", "contrast": c, "series": "contrast", "x": c} for c in (1.0, 1.2, 1.3, 1.4, 1.5)]
