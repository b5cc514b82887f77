"""Guidance towards the voice that the face suggests, and classifier-free guidance; the latter needs `system.drop`.

Command: `v2s-jax ablate configs/ablations/diffv2s_guidance.py --model MODEL --data DIR --out DIR`
"""

SPEAKER = {"sampler.guidance_by": "estimate", "sampler.guided": (0.0, 0.7)}


def get_variants():
    """None, and each at several scales; a classifier-free one of 1 is none either."""
    speaker = [
        {
            "name": f"speaker-{scale:g}",
            "system": SPEAKER,
            "sampler": {"guidance": scale},
            "series": "speaker",
            "x": scale,
        }
        for scale in (0.03, 0.1, 0.3, 1.0, 10.0)
    ]
    free = [
        {"name": f"free-{scale:g}", "sampler": {"classifier_free": scale}, "series": "classifier-free", "x": scale}
        for scale in (1.0, 1.5, 2.0)
    ]
    return [{"name": "unguided", "system": SPEAKER, "sampler": {"guidance": 0.0}}, *speaker, *free]
