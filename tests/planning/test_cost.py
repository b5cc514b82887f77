import pytest

from v2s_jax.planning.cost import Cost, refused
from v2s_jax.planning.report import verdict
from v2s_jax.planning.search import meshes_to_try, recommend

GIB = 2**30
SAID = {
    "RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. Used 20.50G of 15.75G hbm.": (20.5, 15.75),
    "the total memory required for HLO temporaries (38.25G) exceeds available HBM (15.75G). HLO": (40.25, 15.75),
}


def cost(rows: int, peak: float, seconds: float | None) -> Cost:
    sizes = dict(params=1, optimizer=1, ema=1, batch=1, temporaries=1, flops=1.0)
    mesh = {"data": 4, "fsdp": 1, "tensor": 1}
    return Cost("v5e:2x2", mesh, 4, rows, peak=int(peak * GIB), limit=16 * GIB, compute=seconds, **sizes)


@pytest.mark.parametrize("message", SAID)
def test_a_refusal_says_how_much_is_missing(message):
    assert refused(message, 2 * GIB) == tuple(amount * GIB for amount in SAID[message])


def test_the_fastest_that_fits_is_recommended():
    slow, quick, huge = cost(8, 10, 1.0), cost(16, 12, 1.5), cost(64, 20, 2.0)
    assert recommend([slow, quick, huge]) is quick
    assert recommend([huge, cost(8, 40, 0.1)]) is huge  # what lacks the least, where nothing fits
    assert recommend([cost(8, 10, None), cost(8, 9, None)]).peak == 9 * GIB


def test_a_verdict_says_by_how_much():
    assert "4.00 GiB more than the 16.00 GiB" in verdict(cost(8, 20, 1.0))
    assert "(50%)" in verdict(cost(8, 8, 1.0))


def test_meshes_use_every_chip_once():
    tried = meshes_to_try(16, 64)
    assert {"data": 4, "fsdp": 4, "tensor": 1} in tried and {"data": 4, "fsdp": 1, "tensor": 4} in tried
    for rows in (1, 6, 64):
        for sizes in meshes_to_try(16, rows):
            assert sizes["data"] * sizes["fsdp"] * sizes["tensor"] == 16 and rows % (sizes["data"] * sizes["fsdp"]) == 0
