"""Whose voice the decoder is told: that which the face suggests, nobody's, or that of the true sound.

A decoder that never heard of nobody's voice in training (`system.speaker`, `system.drop`) says little of what it would
have learned without; train one to know.
Command: `v2s-jax ablate configs/ablations/diffv2s_speaker.py --model MODEL --data DIR --out DIR`
"""


def get_variants():
    """Each of the three."""
    return [{"name": name, "system": {"speaker": name}} for name in ("vision", "none", "audio")]
