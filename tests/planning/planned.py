"""`v2s-jax plan` for the toy, in a process of its own: the number of fake devices is fixed once jax has started."""

import sys
from pathlib import Path

from tests.training import toy
from v2s_jax import cli

CONFIG = """
from tests.training import toy

def get_config():
    config = toy.toy_config(**{"mesh.min_shard_size": 64})
    config.data.update({"path": "nowhere", "buckets": (15,)})
    return config
"""
MESH = ["--mesh", "data=2,fsdp=2,tensor=2"]


def main(folder: Path) -> None:
    toy.use_toy(setattr)
    config = folder / "config.py"
    config.write_text(CONFIG)
    plan = ["plan", f"--config={config}"]
    statuses = [
        cli.main([*plan, "--topology=cpu:8", *MESH, "--out", str(folder / "plan.json")]),
        # Shapes alone: nothing of these hundreds of gigabytes is ever held.
        cli.main([*plan, "--topology=h100:8", "--mesh", "data=8", "--config.system.width=64000000"]),
        cli.main([*plan, "--topology=v5e:2x2", "--mesh", "data=4"]),
        cli.main([*plan, "--topology=l4:4,l4:8", "--weak-scaling", "--mesh", "data=-1", "--step", "synthesize"]),
        cli.main([*plan, "--topology=v5e:2by2"]),
        cli.main([*plan, "--topology=l4:2", "--batch-size=3,8", "--out", str(folder / "sizes.json")]),
        cli.main([*plan, "--topology=cpu:8", "--mesh", "data=4,fsdp=4"]),
    ]
    print("statuses", *statuses)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
