"""Scores of variants side by side: a table, the same as JSON, and curves."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from v2s_jax.evaluation.metrics import BY_NAME, Metric
from v2s_jax.evaluation.scoring import ROWS
from v2s_jax.evaluation.table import heading, markdown, number
from v2s_jax.evaluation.variants import Variant
from v2s_jax.media.atomic import replacing

SCHEMA = 1  # of the JSON
COST = "network"  # the figure beside the metrics: seconds of the network's work to a second of speech
_COST_TITLE = "Network (s/s) ↓"
_PANELS = 3  # of curves side by side
_LOGARITHMIC = 10  # greatest over least x from which on their axis is logarithmic


class Row(NamedTuple):
    """A variant and what its `evaluation.json` holds, None where it could not be evaluated."""

    variant: Variant
    result: dict[str, Any] | None

    def mean(self, metric: str) -> dict[str, float]:
        """Mean over clips and its interval (`Mean`'s fields), or of the cost the mean alone; {} where there is none."""
        if self.result is None:
            return {}
        if metric == COST:
            return {"mean": float(self.result["about"][COST])}
        found = self.result["means"]["generated"].get(metric)
        return found if found and found["mean"] is not None else {}


def metrics_of(rows: Sequence[Row]) -> list[Metric]:
    """The metrics that any row has, in the order of the table of metrics."""
    return [m for m in BY_NAME.values() if any(row.result and m.name in row.result["metrics"] for row in rows)]


def recording_means(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Metric -> mean of the real recordings, for metrics that need no reference."""
    means: dict[str, dict[str, float]] = next((row.result["means"]["recording"] for row in rows if row.result), {})
    return {name: mean for name, mean in means.items() if mean["mean"] is not None}


def table(rows: Sequence[Row]) -> str:
    """One line a variant and one for the real recordings, one column a metric and one for the cost."""
    metrics = metrics_of(rows)
    real = recording_means(rows)

    def line(name: str, means: dict[str, dict[str, float]]) -> list[str]:
        values = [number(means.get(m.name, {}).get("mean", math.nan), m.digits) for m in metrics]
        return [name, *values, number(means.get(COST, {}).get("mean", math.nan), 3)]

    lines = [["", *map(heading, metrics), _COST_TITLE]]
    lines += [line(row.variant.name, {m: row.mean(m) for m in (*(m.name for m in metrics), COST)}) for row in rows]
    return markdown([*lines, line(ROWS["recording"], real)])


def write_results(path: Path, rows: Sequence[Row], about: dict[str, str], failures: dict[str, str]) -> None:
    """Writes everything but the single clips' scores as JSON, in one piece.

    Args:
        path: of the file.
        rows: in order.
        about: what they have in common.
        failures: variant -> why it could not be evaluated.
    """
    metrics = metrics_of(rows)
    content = {
        "schema": SCHEMA,
        "about": about,
        "metrics": {m.name: {"title": m.title, "unit": m.unit, "better": m.better} for m in metrics},
        "variants": [
            {"name": row.variant.name, "settings": row.variant.settings()}
            | ({"series": row.variant.series, "x": row.variant.x} if row.variant.series else {})
            | {"means": {m.name: row.mean(m.name) for m in metrics if row.mean(m.name)}}
            | {COST: row.mean(COST).get("mean"), "clips": len(row.result["clips"]) if row.result else 0}
            | {"failures": row.result["failures"] if row.result else {}}
            for row in rows
        ],
        "recording": recording_means(rows),
        "failures": failures,
    }
    with replacing(path) as file:
        file.write(json.dumps(content, indent=1, allow_nan=False).encode())


def write_curves(path: Path, rows: Sequence[Row]) -> bool:
    """Draws every metric and the cost over x, one line with its 95 % interval a series, the real recordings dashed.

    Returns:
        Whether any row is a point of a series; else nothing is written.
    """
    from matplotlib.figure import Figure

    points = [row for row in rows if row.variant.series and row.result]
    if not points:
        return False
    panels = [(m.name, heading(m)) for m in metrics_of(points)] + [(COST, _COST_TITLE)]
    columns = min(_PANELS, len(panels))
    lines = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(4.4 * columns, 3.2 * lines), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    real = recording_means(rows)
    legend: dict[str, Any] = {}
    for axis, (metric, title) in zip(axes, panels, strict=False):
        _draw(axis, points, metric)
        axis.set_title(title, fontsize=10)
        if metric in real:
            axis.axhline(real[metric]["mean"], color="grey", linestyle="--", label=ROWS["recording"])
        legend |= {label: handle for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    figure.legend(list(legend.values()), list(legend), loc="outside lower center", ncols=4, fontsize=9)
    with replacing(path) as file:
        figure.savefig(file, format="png", dpi=110)
    return True


def _draw(axis: Any, points: Sequence[Row], metric: str) -> None:
    """The lines of one panel."""
    for name in dict.fromkeys(name for row in points for name in row.variant.series):
        members = sorted((row for row in points if name in row.variant.series), key=_place)
        curve = [(_place(row), mean) for row in members if (mean := row.mean(metric))]
        x, y = [place for place, _ in curve], [mean["mean"] for _, mean in curve]
        (line,) = axis.plot(x, y, marker="o", markersize=4, label=name)
        bounds = [[mean.get(side, mean["mean"]) for _, mean in curve] for side in ("low", "high")]
        axis.fill_between(x, *bounds, color=line.get_color(), alpha=0.15, linewidth=0)
    places = [_place(row) for row in points]
    if min(places) > 0 and max(places) >= _LOGARITHMIC * min(places):
        axis.set_xscale("log")
        if metric == COST:
            axis.set_yscale("log")


def _place(row: Row) -> float:
    return row.variant.x or 0.0
