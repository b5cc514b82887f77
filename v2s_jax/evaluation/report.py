"""One self-contained HTML page: the table, what was left out, and the clips, worst first, to look at and listen to."""

import html
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from v2s_jax.constants import SAMPLE_RATE
from v2s_jax.evaluation import embed
from v2s_jax.evaluation.metrics import Metric
from v2s_jax.evaluation.scoring import ROWS, ClipScore, Evaluation, Pair
from v2s_jax.evaluation.style import CSS, SCRIPT
from v2s_jax.evaluation.table import number
from v2s_jax.evaluation.words import Step
from v2s_jax.media.atomic import replacing

_RANKING = ("estoi", "stoi", "wer", "pesq", "mcd")  # the first of these that was computed decides what is worst
_LONGEST = 20  # seconds of a clip that are embedded


def write_report(
    path: Path, evaluation: Evaluation, pairs: Sequence[Pair], n_clips: int = 24, figures: Sequence[Path] = ()
) -> None:
    """Writes the page in one piece.

    Args:
        path: of the HTML file.
        evaluation: the scores.
        pairs: what was scored, for the sound.
        n_clips: how many clips get pictures and players; the worst ones. The table lists all.
        figures: pictures (PNG, JPEG, SVG) to show, such as curves of an experiment.

    Raises:
        V2SError: a figure cannot be read, or the page cannot be written.
    """
    pictures = [(figure.stem.replace("_", " "), embed.picture(figure)) for figure in figures]
    ranked, ranking = worst_first(evaluation)
    waveforms = {pair.name: pair for pair in pairs}
    cards = [_card(clip, evaluation.metrics, waveforms[clip.name]) for clip in ranked[:n_clips]]
    parts = [_heading(evaluation), _summary(evaluation), _remarks(evaluation), _figures(pictures)]
    if cards:
        order = f", worst {ranking.title} first" if ranking else ""
        parts.append(f"<h2>{len(cards)} of {len(ranked)} clips{order}</h2>{''.join(cards)}")
    parts.append(_all_clips(ranked, evaluation.metrics))
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>v2s-jax evaluation</title>'
        f"<style>{CSS}</style></head><body>{''.join(parts)}<script>{SCRIPT}</script></body></html>\n"
    )
    with replacing(path) as file:
        file.write(page.encode())


def worst_first(evaluation: Evaluation) -> tuple[list[ClipScore], Metric | None]:
    """Clips from worst to best by the most telling metric there is; those it could not judge come last."""
    metric = next((m for name in _RANKING for m in evaluation.metrics if m.name == name), None)
    if metric is None:
        return list(evaluation.clips), None
    sign = 1 if metric.better == "higher" else -1

    def badness(clip: ClipScore) -> float:
        value = clip.values["generated"].get(metric.name, math.nan)
        return sign * value if math.isfinite(value) else math.inf

    return sorted(evaluation.clips, key=badness), metric


def _heading(evaluation: Evaluation) -> str:
    facts = [f"{html.escape(key)}: <b>{html.escape(value)}</b>" for key, value in evaluation.about.items()]
    facts.append(f"clips: <b>{len(evaluation.clips)}</b>")
    if evaluation.grammar:
        facts.append(f"recogniser held to: <b>{html.escape(evaluation.grammar)}</b>")
    return f'<h1>Evaluation</h1><p class="soft">{" · ".join(facts)}</p>'


def _summary(evaluation: Evaluation) -> str:
    rows = [row for row in ROWS if row in evaluation.means]
    heads = "".join(f"<th>{ROWS[row]}</th>" for row in rows)
    lines = []
    for metric in evaluation.metrics:
        cells = []
        for row in rows:
            mean = evaluation.means[row].get(metric.name)
            if mean is None or mean.n == 0:
                cells.append("<td>-</td>")
                continue
            interval = f"{number(mean.low, metric.digits)} to {number(mean.high, metric.digits)}"
            cells.append(f"<td><b>{number(mean.mean, metric.digits)}</b><small>{interval}</small></td>")
        title = html.escape(metric.title + (f" ({metric.unit})" if metric.unit else ""))
        about = f"{html.escape(metric.about)} {metric.better.capitalize()} is better."
        lines.append(f"<tr><td><b>{title}</b><small>{about}</small></td>{''.join(cells)}")
        lines.append(f"<td>{_strip(evaluation, metric)}</td></tr>")
    return (
        f'<div class="scroll"><table><thead><tr><th>mean over clips, 95 % interval</th>{heads}'
        f'<th>each clip: <span class="made">generated</span>, <span class="real">recording</span></th></tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _strip(evaluation: Evaluation, metric: Metric) -> str:
    """Every clip's value as a tick on a line, generated above, recording below."""
    rows = {
        row: np.array([clip.values[row].get(metric.name, math.nan) for clip in evaluation.clips])
        for row in ("generated", "recording")
    }
    finite = np.concatenate([values[np.isfinite(values)] for values in rows.values()])
    if not len(finite):
        return ""
    low, high = float(finite.min()), float(finite.max())
    ticks = []
    for row, colour, top in (("generated", "--made", 2), ("recording", "--real", 15)):
        for value in rows[row][np.isfinite(rows[row])]:
            x = 3 + 174 * ((value - low) / (high - low) if high > low else 0.5)
            ticks.append(f'<path d="M{x:.1f} {top}v11" style="stroke:var({colour})" stroke-opacity=".45"/>')
    low_text, high_text = number(low, metric.digits), number(high, metric.digits)
    return (
        f'<svg width="180" height="28" role="img" aria-label="clips from {low_text} to {high_text}">{"".join(ticks)}'
        f"</svg><small>{low_text} to {high_text}</small>"
    )


def _remarks(evaluation: Evaluation) -> str:
    items = [html.escape(note) for note in evaluation.notes]
    items += [f"Not scored: {html.escape(name)} ({html.escape(why)})" for name, why in evaluation.failures.items()]
    return f"<h2>Remarks</h2><ul>{''.join(f'<li>{item}</li>' for item in items)}</ul>" if items else ""


def _figures(pictures: Sequence[tuple[str, str]]) -> str:
    shown = "".join(
        f'<figure><figcaption>{html.escape(name)}</figcaption><img src="{data}" alt="{html.escape(name)}"></figure>'
        for name, data in pictures
    )
    return f'<h2>Figures</h2><div class="figures">{shown}</div>' if shown else ""


def _card(clip: ClipScore, metrics: Sequence[Metric], pair: Pair) -> str:
    recording, generated = (wave[: _LONGEST * SAMPLE_RATE] for wave in pair.waveforms())
    values = [
        f"{html.escape(m.title)} <b>{number(clip.values['generated'][m.name], m.digits)}</b>"
        for m in metrics
        if m.name in clip.values["generated"]
    ]
    sides = "".join(
        f'<figure><figcaption class="{css}">{label}</figcaption><img src="{embed.spectrogram(wave)}" '
        f'alt="log-mel spectrogram, {label}"><audio controls src="{embed.sound(wave)}"></audio></figure>'
        for label, css, wave in (("generated", "made", generated), ("real recording", "real", recording))
    )
    said = spoken(clip.steps) if clip.steps else html.escape(clip.text)
    return (
        f'<section class="clip"><header><h3>{html.escape(clip.name)}</h3><span>{said}</span></header>'
        f'<div class="values">{"".join(f"<span>{value}</span>" for value in values)}</div>'
        f'<div class="sides">{sides}</div></section>'
    )


def spoken(steps: Sequence[Step]) -> str:
    """The words said, and where the recogniser heard others, those (marked wrong)."""
    shown = []
    for said, heard in steps:
        if said == heard:
            shown.append(html.escape(said or ""))
            continue
        struck = f"<s>{html.escape(said)}</s>" if said else ""
        shown.append(f'<span class="wrong">{" ".join(filter(None, (struck, html.escape(heard or ""))))}</span>')
    return " ".join(shown)


def _all_clips(clips: Sequence[ClipScore], metrics: Sequence[Metric]) -> str:
    heads = "".join(f"<th>{html.escape(metric.title)}</th>" for metric in metrics)
    lines = []
    for clip in clips:
        cells = []
        for metric in metrics:
            value = clip.values["generated"].get(metric.name, math.nan)
            raw = repr(value) if math.isfinite(value) else ""
            cells.append(f'<td data-value="{raw}">{number(value, metric.digits)}</td>')
        lines.append(f"<tr><td>{html.escape(clip.name)}</td>{''.join(cells)}</tr>")
    return (
        '<h2>All clips</h2><p class="soft">Figures of the generated waveform. Click a heading to sort.</p>'
        f'<div class="scroll"><table class="sortable"><thead><tr><th>clip</th>{heads}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )
