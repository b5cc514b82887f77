import json

import pytest
from matplotlib.figure import Figure

from v2s_jax.evaluation import comparison
from v2s_jax.evaluation.comparison import Row, table, write_curves, write_results
from v2s_jax.evaluation.variants import Variant


def result(stoi, wer, network, real=12.5):
    """What `evaluation.json` holds of it; None stands for no clip that could be judged."""

    def mean(value):
        return {"mean": value, "low": value and value - 0.1, "high": value and value + 0.2, "n": 2}

    return {
        "about": {"network": str(network)},
        "metrics": {"stoi": {}, "wer": {}},
        "means": {"generated": {"stoi": mean(stoi), "wer": mean(wer)}, "recording": {"wer": mean(real)}},
        "clips": [{}, {}],
        "failures": {},
    }


ROWS = [
    Row(Variant("many", "m", series=("steps",), x=20.0), result(0.5, 40.0, 0.25)),
    Row(Variant("few", "m", {"speaker": "none"}, series=("steps",), x=2.0), result(0.25, None, 0.0625)),
    Row(Variant("broken", "m", series=("steps",), x=4.0), None),
]


def test_table():
    assert table(ROWS).splitlines() == [
        "|                | STOI ↑ | WER (%) ↓ | Network (s/s) ↓ |",
        "| -------------- | ------ | --------- | --------------- |",
        "| many           |  0.500 |      40.0 |           0.250 |",
        "| few            |  0.250 |         - |           0.062 |",
        "| broken         |      - |         - |               - |",
        "| real recording |      - |      12.5 |               - |",
    ]


def test_json(tmp_path):
    write_results(tmp_path / "a.json", ROWS, {"data": "d"}, {"broken": "why"})
    made = json.loads((tmp_path / "a.json").read_text())
    assert made["recording"]["wer"]["mean"] == 12.5 and made["failures"] == {"broken": "why"}
    many, few, broken = made["variants"]
    assert many["means"]["wer"] == {"mean": 40.0, "low": 39.9, "high": 40.2, "n": 2} and many["network"] == 0.25
    assert set(few["means"]) == {"stoi"} and few["settings"] == {"model": "m", "system": {"speaker": "none"}}
    assert broken["means"] == {} and broken["network"] is None and broken["x"] == 4


def test_curves_go_by_x_where_there_are_values(tmp_path):
    axis = Figure().subplots()
    comparison._draw(axis, ROWS[:2], "stoi")
    (line,) = axis.get_lines()
    assert line.get_label() == "steps" and line.get_xydata().tolist() == [[2, 0.25], [20, 0.5]]
    assert axis.get_xscale() == "log" and axis.get_yscale() == "linear"
    assert write_curves(tmp_path / "c.png", ROWS)
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
    lone = [Row(Variant("plain", "m"), result(0.5, 40.0, 0.25))]
    assert not write_curves(tmp_path / "none.png", lone) and not (tmp_path / "none.png").exists()


@pytest.mark.parametrize("places, scale", [((1, 9.9), "linear"), ((1, 10), "log"), ((0, 10), "linear")])
def test_the_axis_is_logarithmic_for_wide_ranges(places, scale):
    axis = Figure().subplots()
    rows = [Row(Variant("v", "m", series=("s",), x=float(x)), result(0.5, 40.0, 0.25)) for x in places]
    comparison._draw(axis, rows, "network")
    assert axis.get_xscale() == axis.get_yscale() == scale
