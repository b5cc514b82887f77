import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v2s_jax.errors import V2SError
from v2s_jax.interop import table
from v2s_jax.interop.table import Entry, export_weights, import_weights

ENTRIES = [
    *table.linear("fc", "head"),
    Entry("layers.{i}.w", "blocks.kernel", table.CONV1D, stack=2, aliases=("layers.{i}.old",)),
    Entry("note", "extra", optional=True),
    Entry("bn.num_batches_tracked", ""),
]
SHAPES = {"head.kernel": (2, 3), "head.bias": (3,), "blocks.kernel": (2, 3, 1, 4)}


def foreign(**changes):
    rng = np.random.default_rng(0)
    tensors = {
        "fc.weight": rng.normal(size=(3, 2)),
        "fc.bias": rng.normal(size=3),
        "layers.0.w": rng.normal(size=(4, 1, 3)),
        "layers.1.w": rng.normal(size=(4, 1, 3)),
        "bn.num_batches_tracked": np.array(7),
    }
    tensors = {key: value if value.dtype.kind == "i" else value.astype(np.float32) for key, value in tensors.items()}
    return {key: value for key, value in (tensors | changes).items() if value is not None}


def test_import_by_hand():
    tensors = foreign()
    weights, left = import_weights(ENTRIES, tensors | {"decoder.w": np.ones(1)}, SHAPES, "f.pt", lambda k: "dec" in k)
    assert left == ["decoder.w"] and set(weights) == set(SHAPES)
    np.testing.assert_array_equal(weights["head.kernel"], tensors["fc.weight"].T)
    assert weights["blocks.kernel"][1, 2, 0, 3] == tensors["layers.1.w"][3, 0, 2]


def test_an_alias_is_taken_and_a_preferred_name_given():
    tensors = foreign(**{"layers.1.w": None, "layers.1.old": foreign()["layers.1.w"]})
    weights, _ = import_weights(ENTRIES, tensors, SHAPES, "f.pt")
    assert set(export_weights(ENTRIES, weights)) == set(foreign())


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64])
def test_other_floats_become_float32(dtype):
    weights, _ = import_weights(ENTRIES, foreign(**{"fc.bias": np.array([1, 0.5, -2], dtype)}), SHAPES, "f.pt")
    assert weights["head.bias"].dtype == np.float32
    np.testing.assert_array_equal(weights["head.bias"], [1, 0.5, -2])


def test_every_problem_is_listed_at_once():
    tensors = foreign(**{"fc.weight": np.ones((2, 3), np.float32), "fc.bias": None, "layers.0.old": np.ones(1)})
    tensors |= {"stray": np.ones(1), "note": np.ones(1), "layers.1.w": np.ones((4, 1, 3), np.int8)}
    with pytest.raises(V2SError) as error:
        import_weights(ENTRIES, tensors, SHAPES, "f.pt")
    assert str(error.value) == (
        "f.pt: not the weights of the model that its config describes (fc.weight is (2, 3) instead of (3, 2); "
        "missing fc.bias; layers.0.w and layers.0.old are one tensor given twice; "
        "layers.1.w is int8, expected a tensor of floats; unused stray; unused note)"
    )


def test_some_layers_of_an_optional_stack_are_a_problem():
    entries = [Entry("{i}.g", "gain", stack=2, optional=True)]
    assert import_weights(entries, {}, {"gain": (2, 1)}, "f.pt") == ({}, [])
    with pytest.raises(V2SError, match=r"missing 1\.g"):
        import_weights(entries, {"0.g": np.ones(1, np.float32)}, {"gain": (2, 1)}, "f.pt")


def test_names_that_are_no_names_are_shown_safely():
    with pytest.raises(V2SError, match=r"unused 3; unused \\x1b\[2J\)"):
        import_weights(ENTRIES, foreign() | {3: np.ones(1), "\x1b[2J": np.ones(1)}, SHAPES, "f.pt", str.isdigit)


def test_what_is_no_array_is_named():
    with pytest.raises(V2SError, match="fc.bias is list, expected a tensor of floats"):
        import_weights(ENTRIES, foreign(**{"fc.bias": [1.0, 2.0, 3.0]}), SHAPES, "f.pt")


def test_a_table_of_another_model_is_refused_both_ways():
    entries = [Entry("a", "x"), Entry("a", "y"), Entry("{i}", "z", stack=3)]
    ours = {"x": np.ones(1), "w": np.ones(1), "z": np.ones((2, 1))}
    with pytest.raises(V2SError) as error:
        export_weights(entries, ours)
    for words in ("the table has a twice", "the table lacks w", "the model lacks y", "z is (2, 1), expected 3 layers"):
        assert words in str(error.value)
    with pytest.raises(V2SError, match="the table lacks w"):
        import_weights(entries, {}, {name: value.shape for name, value in ours.items()}, "f.pt")


TRANSFORMS = {
    table.SAME: (2, 3),
    table.TRANSPOSE: (2, 3),
    table.CONV1D: (2, 3, 4),
    table.CONV2D: (2, 3, 4, 5),
    table.CONV3D: (2, 3, 4, 5, 6),
    table.CONV_TRANSPOSE1D: (2, 3, 4),
    table.DEPTHWISE1D: (2, 3),
}


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(list(TRANSFORMS)), st.integers(0, 3), st.integers(0, 2**31))
def test_import_undoes_export(transform, stack, seed):
    shape = (stack, *TRANSFORMS[transform]) if stack else TRANSFORMS[transform]
    ours = {"w": np.random.default_rng(seed).normal(size=shape).astype(np.float32)}
    entries = [Entry("{i}.w" if stack else "w", "w", transform, stack), *table.batch_norm("bn", "norm")]
    ours |= {f"norm.{name}": np.ones(2, np.float32) for name in ("scale", "bias", "mean", "var")}
    exported = export_weights(entries, ours)
    assert exported["bn.num_batches_tracked"].dtype == np.int64
    back, left = import_weights(entries, exported, {name: value.shape for name, value in ours.items()}, "here")
    assert left == [] and set(back) == set(ours)
    for name in ours:
        np.testing.assert_array_equal(back[name], ours[name])


@pytest.mark.parametrize(
    "transform, conv, inputs, groups",
    [
        (table.CONV1D, "WIO", 6, 1),
        (table.CONV1D, "WIO", 6, 2),
        (table.CONV2D, "HWIO", 6, 1),
        (table.CONV3D, "DHWIO", 6, 1),
    ],
)
def test_kernels_are_laid_out_as_jax_reads_them(transform, conv, inputs, groups):
    import jax
    import torch

    rank = len(conv) - 2
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(4, inputs // groups, *range(3, 3 + rank))).astype(np.float32)
    x = rng.normal(size=(1, inputs, *[7] * rank)).astype(np.float32)
    name = {1: "W", 2: "HW", 3: "DHW"}[rank]
    kernel = transform.to_ours(weight)
    ours = jax.lax.conv_general_dilated(
        x, kernel, (1,) * rank, "VALID", dimension_numbers=(f"NC{name}", conv, f"NC{name}"), feature_group_count=groups
    )
    theirs = getattr(torch.nn.functional, f"conv{rank}d")(torch.tensor(x), torch.tensor(weight), groups=groups)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
