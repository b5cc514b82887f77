import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """What `planned.py` printed, and the plan that it wrote."""
    folder = tmp_path_factory.mktemp("plan")
    command = [sys.executable, "-m", "tests.planning.planned", str(folder)]
    run = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=280)
    assert run.returncode == 0, run.stderr
    plans = [json.loads((folder / name).read_text()) for name in ("plan.json", "sizes.json")]
    return run.stdout, run.stderr, *plans


def test_a_step_is_planned_without_data_on_fake_devices(planned):
    ((plan,), _) = planned[2:]
    assert plan["mesh"] == {"data": 2, "fsdp": 2, "tensor": 2} and plan["chips"] == 8 and plan["recommended"]
    # Trunk 64 x 16 and head 16 x 320 with its bias, in float32: kernels and bias split by fsdp; two vectors each of
    # the norm's parameters and statistics are too small.
    parameters = 4 * (64 * 16 // 2 + 16 * 320 // 2 + 320 // 2)
    assert plan["params"] == parameters + 4 * 4 * 16
    # Trunk and head: forward; backward by weights, and of the head by its input. And the target's mel filters.
    rows = 8 * 15
    assert plan["flops"] == 2 * rows * (2 * 64 * 16 + 3 * 16 * 320 + 4 * 321 * 80) / 8
    assert plan["ema"] == parameters + 2 * 4 * 16 and plan["optimizer"] > 2 * plan["ema"]
    assert plan["peak"] >= plan["params"] + plan["optimizer"] + plan["ema"] + plan["temporaries"]
    assert plan["collectives"]["all-reduce"][0] > 0 and plan["limit"] is None and plan["excess"] == 0


def test_what_does_not_fit_says_by_how_much_and_fails(planned):
    out, *_ = planned
    assert "statuses 0 1" in out
    assert "It does not fit" in out and "GiB more than the 67.06 GiB" in out


def test_sampling_is_planned_too_and_keeps_no_moments(planned):
    out, *_ = planned
    line = next(line for line in out.splitlines() if line.startswith("l4:4"))
    assert line.split()[1:6] == ["data=4", "8", "0.00", "0.00", "0.00"] and "Synthesis of toy" in out
    # A roofline without communication scales as it should: twice the batch in the same time.
    scaling = out.split("Weak scaling:")[1].splitlines()[1:3]
    assert [line.split()[:5] for line in scaling] == [
        ["l4:4", "4", "chips", "batch", "8"],
        ["l4:8", "8", "chips", "batch", "16"],
    ]
    assert all(float(line.split()[-1].rstrip("%")) > 95 for line in scaling)


def test_a_slice_needs_its_compiler(planned):
    out, err, *_ = planned
    if importlib.util.find_spec("libtpu"):
        assert "4 x v5e" in out and "GiB of the 16.00 GiB" in out
    else:
        assert "pip install 'v2s-jax[tpu]'" in err


def test_several_batches_are_tried_on_the_meshes_that_split_them_and_the_fastest_is_recommended(planned):
    out, *_, plans = planned
    tried = {(plan["rows"], plan["mesh"]["data"], plan["mesh"]["fsdp"], plan["mesh"]["tensor"]) for plan in plans}
    assert tried == {(3, 1, 1, 2)} | {(8, *mesh) for mesh in ((2, 1, 1), (1, 2, 1), (1, 1, 2))}
    (best,) = (plan for plan in plans if plan["recommended"])
    assert best["rows"] / best["seconds"] == max(plan["rows"] / plan["seconds"] for plan in plans)
    assert best["rows"] == 8 and "with a batch of 8." in out


def test_bad_machines_and_meshes_are_named(planned):
    out, err, *_ = planned
    assert "v5e:2by2: write CHIP:SHAPE" in err and "does not fit the 8 devices" in err
    assert out.endswith(" 0 1 0 1\n")
