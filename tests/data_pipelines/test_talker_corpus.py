import pytest

import data_pipelines.talker.generate
from data_pipelines.talker.corpus import NAMES, Talker
from data_pipelines.talker.identities import HELD_OUT
from v2s_jax.errors import V2SError


def test_held_out_identities_do_not_train(talker_tree):
    assert {clip.split for clip in Talker().clips(talker_tree)} == {"train"}
    splits = {name: Talker().split(name, "bbaf2n") for name in NAMES}
    assert {NAMES[name] for name, split in splits.items() if split != "train"} == set(HELD_OUT)
    assert {"train", "val", "test"} == set(splits.values())


def test_the_clips_asked_for_are_rendered(monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(
        data_pipelines.talker.generate, "generate", lambda *args, **options: calls.append((args, options))
    )
    Talker().make_source(tmp_path, 3, ["t02", "t31"], 5, "turn=30")
    Talker().make_source(tmp_path, 1, None, None)
    assert calls[0] == ((tmp_path, [2, 31], 5), {"workers": 3, "dials": "turn=30"})
    assert calls[1][0][1] == list(NAMES.values()) and calls[1][1]["dials"] == ""


def test_speakers_are_those_of_the_renderer(talker_tree):
    assert {clip.speaker for clip in Talker().clips(talker_tree)} <= set(NAMES)
    with pytest.raises(V2SError, match="no talker is called 's1'"):
        Talker().make_source(talker_tree, 1, ["s1"], None)
