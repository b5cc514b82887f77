"""What the face says of the voice: the speaker's own, another speaker's, nobody's, and the true sound's voice.

Command: `v2s-jax ablate configs/ablations/faces2voices_face.py --model MODEL --data DIR --out DIR`, of several speakers
"""


def get_variants():
    """SECS tells them apart."""
    return [
        {"name": "own-face"},
        {"name": "wrong-face", "face": "other"},
        {"name": "no-face", "system": {"speaker_from": "none"}},
        {"name": "true-voice", "system": {"speaker_from": "audio"}},
    ]
