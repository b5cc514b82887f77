import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2s_jax.errors import V2SError
from v2s_jax.training.paths import flatten, map_paths, merge, select
from v2s_jax.training.rules import Action, assign, choose_rules, players

PATHS = ["trunk/kernel", "trunk/bias", "norm/mean", "head/kernel"]


def test_every_path_gets_the_action_of_its_rule():
    rules = [("trunk/.*", "frozen"), ("norm/.*", "train"), ("head/.*", 0.1)]
    assert assign(rules, PATHS) == {
        "trunk/kernel": Action(None),
        "trunk/bias": Action(None),
        "norm/mean": Action("main", 1.0),
        "head/kernel": Action("main", 0.1),
    }


def test_all_uncovered_and_doubly_covered_paths_are_listed_at_once():
    with pytest.raises(V2SError) as caught:
        assign([("trunk/.*", "frozen"), (".*/bias", "train"), ("head/.*", "train")], PATHS)
    message = str(caught.value)
    assert "trunk/bias (by trunk/.*, .*/bias)" in message and "norm/mean (by none)" in message
    assert "trunk/kernel" not in message and "head/kernel" not in message


def test_a_rule_matches_whole_paths_only():
    with pytest.raises(V2SError, match="head/kernel"):
        assign([("head", "train")], ["head/kernel"])


@pytest.mark.parametrize("action", ["freeze", "frozen:critic", 0, -1.0, True, None])
def test_other_actions_are_refused(action):
    with pytest.raises(V2SError, match="Training rule"):
        assign([(".*", action)], PATHS)


@pytest.mark.parametrize("rules", [[3], [("(", "train")], [("a", "train", 1)]])
def test_what_is_no_rule_is_refused(rules):
    with pytest.raises(V2SError, match="not a pair"):
        assign(rules, PATHS)


def test_players_take_turns_in_the_order_of_the_rules():
    rules = [("head/.*", "train:critic"), ("[nt].*", "train"), ("absent", "train:nobody")]
    assert players(rules, assign(rules, PATHS)) == ["critic", "main"]
    with pytest.raises(V2SError, match="nothing to train"):
        players([(".*", "frozen")], assign([(".*", "frozen")], PATHS))


def test_stages_are_chosen_by_name_and_a_single_one_needs_none():
    assert choose_rules({"all": [(".*", "train")]}, "") == [(".*", "train")]
    assert choose_rules({"a": [], "b": []}, "a", [("x", "train")]) == [("x", "train")]
    with pytest.raises(V2SError, match="a, b"):
        choose_rules({"a": [], "b": []}, "")


def test_what_is_to_stay_frozen_comes_before_the_rules_of_any_stage():
    stages = {"gan": [("head/.*", "train:critic"), ("(?!head/).*", "train:generator")]}
    actions = assign(choose_rules(stages, "gan", frozen="trunk/.*|.*/bias"), PATHS)
    rest = assign(stages["gan"], PATHS)
    still = {path for path in PATHS if path.startswith("trunk/") or path.endswith("/bias")}
    assert still and still != set(PATHS)
    assert actions == {path: Action(None) if path in still else rest[path] for path in PATHS}
    with pytest.raises(V2SError, match="no regular expression"):
        choose_rules(stages, "gan", frozen="(")
    with pytest.raises(V2SError, match="not a pair"):
        choose_rules({}, "", [3], frozen="a")


def test_paths_name_list_entries_by_number():
    assert flatten({"a": {0: 1, 1: 2}}) == {"a/0": 1, "a/1": 2}
    assert map_paths(lambda path, x: (path, x), {"a": {0: 1}}) == {"a": {0: ("a/0", 1)}}


trees = st.recursive(
    st.integers(),
    lambda leaf: st.dictionaries(st.sampled_from(["a", "b", 0, 1]), leaf, min_size=1, max_size=3),
    max_leaves=6,
).filter(lambda tree: isinstance(tree, dict))


@given(tree=trees, letter=st.sampled_from("ab01"))
def test_parts_put_together_again_are_the_whole(tree, letter):
    part, rest = select(tree, lambda path: letter in path), select(tree, lambda path: letter not in path)
    assert merge(part, rest) == tree
    assert flatten(part).keys().isdisjoint(flatten(rest))
