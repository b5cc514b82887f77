"""What each stage is for: the voice of nobody or of the true sound, prosody left out, and numbers of evaluations.

Command: `v2s-jax ablate configs/ablations/faces2voices_stages.py --model MODEL --data DIR --out DIR`
"""

STAGES = {
    "whole": {},
    "no-timbre": {"speaker_from": "none"},
    "true-timbre": {"speaker_from": "audio"},
    "no-prosody": {"prosody_from": "none"},
    "content-alone": {"speaker_from": "none", "prosody_from": "none"},
}


def get_variants():
    """Stages left out one by one; then the whole with more and fewer evaluations, guided and not."""
    stages = [{"name": name, "system": system} for name, system in STAGES.items()]
    counts = [
        {
            "name": f"{series}-{n}",
            "sampler": {"evaluations": n, "classifier_free": scale},
            "series": series,
            "x": n,
        }
        for series, scale in (("guided", 2.0), ("plain", 1.0))
        for n in (1, 2, 4, 10, 32)
    ]
    return stages + counts
