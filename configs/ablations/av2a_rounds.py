"""What listening to its own speech gains, and whether it gains again: from the draft alone to three rounds of refining.

Command: `v2s-jax ablate configs/ablations/av2a_rounds.py --model MODEL --data DIR --out DIR`
"""


def get_variants():
    """None to three rounds; they share a program."""
    return [{"name": f"rounds-{n}", "sampler": {"rounds": n}, "series": "rounds", "x": n} for n in range(4)]
