"""Whether one variant is better than another on the same clips, which the intervals of their means do not tell."""

from collections.abc import Sequence
from typing import Any

from v2s_jax.evaluation.comparison import Row, metrics_of
from v2s_jax.evaluation.metrics import Metric
from v2s_jax.evaluation.statistics import Mean, bootstrap_mean
from v2s_jax.evaluation.table import heading, markdown


def difference(metric: Metric, ours: dict[str, Any], theirs: dict[str, Any]) -> Mean:
    """The mean over clips of a metric's difference, with its 95 % bootstrap interval.

    Args:
        metric: one of words counts clips by their words; else all count the same.
        ours: of an `evaluation.json`.
        theirs: what is subtracted; clips that one of the two lacks do not count.
    """
    known = {clip["name"]: clip["values"]["generated"].get(metric.name) for clip in theirs["clips"]}
    values, weights = [], []
    for clip in ours["clips"]:
        here, there = clip["values"]["generated"].get(metric.name), known.get(clip["name"])
        if here is not None and there is not None:
            values.append(here - there)
            weights.append(float(len((clip["text"] or "").split())) if metric.needs_text else 1.0)
    return bootstrap_mean(values, weights)


def gains(rows: Sequence[Row]) -> str:
    """A table of how each variant differs from the first, or nothing if there are no two to compare."""
    judged = [row for row in rows if row.result]
    if len(judged) < 2:
        return ""
    first, metrics = judged[0], metrics_of(judged)
    lines = [[f"less {first.variant.name}, clip by clip", *map(heading, metrics)]]
    for row in judged[1:]:
        found = [difference(metric, row.result or {}, first.result or {}) for metric in metrics]
        lines.append([row.variant.name, *map(_shown, found, metrics)])
    return markdown(lines)


def _shown(mean: Mean, metric: Metric) -> str:
    digits = metric.digits + 1
    return f"{mean.mean:+.{digits}f} [{mean.low:+.{digits}f}, {mean.high:+.{digits}f}]" if mean.n else "-"
