from pathlib import Path

import numpy as np
import pytest

from v2s_jax.errors import V2SError
from v2s_jax.interop.pickles import Part, load
from v2s_jax.interop.records import Global, Record, plain, shown

GOLDENS = Path(__file__).parent / "goldens"


def test_a_config_of_omegaconf_becomes_plain():
    """The file was written by omegaconf 2.3, from a dataclass with an enum, missing and interpolated fields."""
    tree = load(Part((GOLDENS / "omegaconf-2.3.pkl").read_bytes()))
    assert isinstance(tree, Record) and tree.name == "DictConfig"
    model = {"name": None, "n": 3, "layers": [1, 2], "mode": "layer_norm", "opt": [0.9, 0.98], "d": {"a": 1}, "lr": 0.5}
    model |= {"miss": "???", "interp": "${model.n}", "u": 3}
    task = {"labels": ["km"], "rate": 16000, "none": None, "b": b"x"}
    assert plain(tree, "x") == {"model": model, "task": task}


def test_namespaces_dicts_and_enums_become_plain():
    weights, other = np.zeros(3), Record("fairseq.data", "Dictionary", state={"symbols": ["a"]})
    tree = {
        "args": Record("argparse", "Namespace", state={"lr": [0.1], "kind": Record("lib", "Kind", ("fast",))}),
        "h": Record("env", "AttrDict", pairs=[("rates", (8, 8)), ("n", Record("lib", "N", (2,)))]),
        "weights": [weights],
        "task": other,
        "kind": Global("torch", "Tensor"),
        Record("lib", "Key", ("k",)): {Record("lib", "Key", (5,))},
    }
    result = plain(tree, "x")
    assert result["weights"][0] is weights and result["task"] is other
    del result["weights"], result["task"]
    assert result == {
        "args": {"lr": [0.1], "kind": "fast"},
        "h": {"rates": (8, 8), "n": 2},
        "kind": Global("torch", "Tensor"),
        "k": {5},
    }


def test_sharing_stays_sharing():
    part = ["x"]
    for _ in range(12):
        part = [part, part]
    result = plain(part, "x")
    assert result == part and result is not part and result[0] is result[1]


def test_a_config_that_contains_itself_is_refused():
    space = Record("argparse", "Namespace")
    space.state = {"parent": space}
    with pytest.raises(V2SError, match="^some.pt: .* contains itself"):
        plain({"args": space}, Path("some.pt"))


def test_deep_and_large_configs_are_refused():
    deep, large = Record("argparse", "Namespace", state={}), [0]
    for _ in range(70):
        deep, large = (
            Record("argparse", "Namespace", state={"x": deep}),
            Record("lib", "Of", pairs=[(0, large), (1, large)]),
        )
    with pytest.raises(V2SError, match="nested too deeply"):
        plain(deep, "x")
    for _ in range(2):
        large = [0]
        for _ in range(25):
            large = Record("lib", "Of", pairs=[(0, large), (1, large)])
    with pytest.raises(V2SError, match="more than 20000000 parts"):
        plain(large, "x")


def test_names_of_a_file_cannot_play_with_the_terminal():
    assert shown("a\x1b[2J\n\u202eb'") == r"a\x1b[2J\n\u202eb'"
    assert len(shown("x" * 10_000)) < 210
