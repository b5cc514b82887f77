from v2s_jax.evaluation.comparison import Row
from v2s_jax.evaluation.gain import difference, gains
from v2s_jax.evaluation.metrics import BY_NAME
from v2s_jax.evaluation.variants import Variant


def result(metric, values, texts=None):
    texts = texts or ["a b"] * len(values)
    clips = [
        {"name": str(n), "text": text, "values": {"generated": {} if value is None else {metric: value}}}
        for n, (value, text) in enumerate(zip(values, texts, strict=True))
    ]
    return {"metrics": {metric: {}}, "clips": clips}


def test_clips_are_compared_with_themselves():
    """The same step on clips far apart: no doubt about the difference, much about the means."""
    found = difference(BY_NAME["estoi"], result("estoi", [0.2, 0.5, 0.9]), result("estoi", [0.1, 0.4, 0.8]))
    assert abs(found.mean - 0.1) < 1e-12 and found.high - found.low < 1e-12 and found.n == 3


def test_clips_that_one_lacks_do_not_count_and_words_weigh():
    found = difference(
        BY_NAME["wer"], result("wer", [10.0, 50.0, None], ["a", "a b c", "a"]), result("wer", [0.0, 0.0, 0.0])
    )
    assert found.mean == 40.0 and found.n == 2


def test_a_line_for_each_variant_but_the_first():
    rows = [
        Row(Variant(name=name, model="m"), result("estoi", values))
        for name, values in (("one", [0.1, 0.3]), ("two", [0.2, 0.5]))
    ]
    lines = gains(rows).splitlines()
    assert len(lines) == 3 and "less one" in lines[0]
    assert "two" in lines[2] and "+0.1500 [+0.1000, +0.2000]" in lines[2]
    assert gains(rows[:1]) == "" == gains([rows[0], Row(rows[1].variant, None)])
