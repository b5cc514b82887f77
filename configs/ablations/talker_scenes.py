"""How speech gets worse as talkers are filmed worse: light, what is behind, a turned head, a face half hidden.

Data: the test talkers filmed in each way, as `SCENES` has them:
`for scene in $(python configs/ablations/talker_scenes.py); do v2s-jax prepare talker --speakers t30,t31
--clips-per-speaker 8 --scene $scene --out data/talker_scenes/$scene; done`, and the same without --scene into
data/talker_scenes/plain.
Command: `v2s-jax ablate configs/ablations/talker_scenes.py --model MODEL --data data/talker_scenes/plain --split test
--out DIR`
"""

WAYS = {
    "dark": (0.9, 0.97, 0.99),
    "side": (30, 60, 90),
    "clutter": (0.3, 0.6, 1),
    "turn": (10, 20, 30),
    "covered": (0.3, 0.6, 0.9),
    "beside": (0.2, 0.4, 0.5),
}
SCENES = [f"{way}={amount:g}" for way, amounts in WAYS.items() for amount in amounts]


def get_variants():
    """The plain scene, which every curve begins with, and every way at every step."""
    return [{"name": "plain", "series": list(WAYS), "x": 0}] + [
        {"name": scene, "data": f"data/talker_scenes/{scene}", "series": scene.partition("=")[0], "x": index % 3 + 1}
        for index, scene in enumerate(SCENES)
    ]


if __name__ == "__main__":
    print(*SCENES)
