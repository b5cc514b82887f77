"""The table of metrics. A new one is one line in `METRICS` and one small function of `Signals`."""

import dataclasses
import functools
import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from v2s_jax.errors import V2SError
from v2s_jax.evaluation import measures
from v2s_jax.evaluation.recognizer import recognizer
from v2s_jax.evaluation.words import Alignment, align
from v2s_jax.features.mel import log_mel
from v2s_jax.features.pitch import pitch
from v2s_jax.features.text import normalize


class Signals:
    """One clip as the metrics see it; what several of them need is computed once, when first asked for.

    Attributes:
        recording: the real waveform, cut to the shorter of the two.
        candidate: the one to judge, cut likewise. For figures of the recording itself both are the recording.
        text: what is said, or "".
        grammar: what the recogniser is held to.
        encoder: by which speakers are compared, by name or path.
    """

    def __init__(
        self,
        recording: np.ndarray,
        candidate: np.ndarray,
        text: str = "",
        grammar: str = "free",
        encoder: str | None = None,
    ):
        n = min(len(recording), len(candidate))
        self.recording, self.candidate = recording[:n], candidate[:n]
        self.text, self.grammar, self.encoder = text, grammar, encoder

    @functools.cached_property
    def mels(self) -> tuple[np.ndarray, np.ndarray]:
        """Log-mels of recording and candidate."""
        return log_mel(self.recording), log_mel(self.candidate)

    @functools.cached_property
    def pitches(self) -> tuple[np.ndarray, np.ndarray]:
        """F0 tracks of recording and candidate."""
        return pitch(self.recording), pitch(self.candidate)

    @functools.cached_property
    def opinions(self) -> dict[str, float]:
        """DNSMOS of the candidate."""
        return measures.dnsmos(self.candidate)

    @functools.cached_property
    def speaker_similarity(self) -> float:
        """Cosine of the speakers of recording and candidate; NaN without an encoder."""
        if self.encoder is None:
            return float("nan")
        return measures.speaker_similarity(self.recording, self.candidate, load_encoder(self.encoder))

    @functools.cached_property
    def words(self) -> Alignment:
        """The text against what the recogniser hears in the candidate."""
        return align(normalize(self.text), recognizer(self.grammar)(self.candidate))


@functools.cache
def load_encoder(name_or_path: str) -> Callable[[np.ndarray], np.ndarray]:
    """The speaker encoder of a name or path, once a process.

    Raises:
        V2SError: there is no such encoder.
    """
    from v2s_jax.synthesis.speaker_encoder import UtteranceEncoder  # the model stack, for this metric alone

    return UtteranceEncoder(name_or_path)


@dataclasses.dataclass(frozen=True)
class Metric:
    """One column of the results.

    Attributes:
        name: on the command line and in the JSON.
        title: in tables.
        unit: "" for plain numbers.
        better: which way is good.
        compute: value for one clip; NaN where it cannot be judged.
        about: one sentence for the report.
        packages: import names of the optional packages it needs (extra `eval`).
        needs_reference: it compares with the recording, so it says nothing about the recording itself.
        needs_text: it compares with the transcript.
        needs_encoder: it compares speakers.
        weight: how much a clip counts in the mean.
        digits: decimals in tables.
    """

    name: str
    title: str
    unit: str
    better: Literal["higher", "lower"]
    compute: Callable[[Signals], float]
    about: str
    packages: tuple[str, ...] = ()
    needs_reference: bool = True
    needs_text: bool = False
    needs_encoder: bool = False
    weight: Callable[[Signals], float] = lambda signals: 1.0
    digits: int = 3


_F0 = "F0 by autocorrelation (Boersma 1993), 65-500 Hz, every 10 ms."
METRICS: tuple[Metric, ...] = (
    Metric(
        *("pesq", "PESQ", "", "higher", lambda s: measures.pesq_wideband(s.recording, s.candidate)),
        about="Perceptual quality against the recording, wideband (P.862.2), 1 to 4.64.",
        packages=("pesq",),
    ),
    Metric(
        *("stoi", "STOI", "", "higher", lambda s: measures.stoi(s.recording, s.candidate)),
        about="Short-time objective intelligibility against the recording, up to 1.",
    ),
    Metric(
        *("estoi", "ESTOI", "", "higher", lambda s: measures.stoi(s.recording, s.candidate, extended=True)),
        about="Extended STOI: also sensitive to how frequency bands move together.",
    ),
    Metric(
        *("mcd", "MCD", "dB", "lower", lambda s: measures.mel_cepstral_distortion(*s.mels)),
        about="Mel-cepstral distortion, 13 coefficients of this project's log-mel, frames aligned by time, no warping.",
        digits=2,
    ),
    Metric(
        *("f0", "F0 error", "cents", "lower", lambda s: measures.f0_error_cents(*s.pitches)),
        about=f"Root mean square error over frames voiced in both. {_F0}",
        digits=0,
    ),
    Metric(
        *("f0_gross", "Gross F0", "%", "lower", lambda s: measures.gross_f0_error(*s.pitches)),
        about="Frames voiced in both whose F0 is off by more than 20 %.",
        digits=1,
    ),
    Metric(
        *("voicing", "Voicing error", "%", "lower", lambda s: measures.voicing_error(*s.pitches)),
        about="Frames voiced in one and unvoiced in the other.",
        digits=1,
    ),
    Metric(
        *("secs", "SECS", "", "higher", lambda s: s.speaker_similarity),
        about="Speaker similarity: cosine of the speaker embeddings of generated speech and recording, up to 1.",
        needs_encoder=True,
    ),
    Metric(
        *("wer", "WER", "%", "lower", lambda s: 100 * s.words.rate),
        about="Word error rate by pocketsphinx: errors over words of all clips together.",
        needs_reference=False,
        needs_text=True,
        weight=lambda s: float(s.words.n_words),
        digits=1,
    ),
    Metric(
        *("dnsmos_ovrl", "DNSMOS", "", "higher", lambda s: s.opinions["overall"]),
        about="Predicted opinion of the whole, 1 to 5, without a reference (P.835).",
        packages=("speechmos", "onnxruntime"),
        needs_reference=False,
        digits=2,
    ),
    Metric(
        *("dnsmos_sig", "DNSMOS speech", "", "higher", lambda s: s.opinions["signal"]),
        about="Predicted opinion of the speech alone.",
        packages=("speechmos", "onnxruntime"),
        needs_reference=False,
        digits=2,
    ),
    Metric(
        *("dnsmos_bak", "DNSMOS noise", "", "higher", lambda s: s.opinions["background"]),
        about="Predicted opinion of the background; higher is quieter.",
        packages=("speechmos", "onnxruntime"),
        needs_reference=False,
        digits=2,
    ),
)
BY_NAME = {metric.name: metric for metric in METRICS}


def choose(names: Sequence[str] | None, with_text: bool, encoder: str | None = None) -> tuple[list[Metric], list[str]]:
    """The metrics that can be computed here, and one sentence for each that is left out.

    Args:
        names: metrics asked for; all when None.
        with_text: whether any clip has a transcript.
        encoder: name or path of the speaker encoder, where a metric asked for compares speakers.

    Raises:
        V2SError: a metric asked for by name does not exist or cannot be computed.
    """
    unknown = sorted(set(names or ()) - set(BY_NAME))
    if unknown:
        raise V2SError(f"there is no metric called {unknown[0]!r}; the metrics are {', '.join(BY_NAME)}")
    chosen: list[Metric] = []
    left_out: dict[str, list[str]] = {}
    for metric in METRICS:
        if names is not None and metric.name not in names:
            continue
        obstacle = _obstacle(metric, with_text)
        if obstacle and names is not None:
            raise V2SError(f"{metric.title} cannot be computed: {obstacle}")
        if obstacle:
            left_out.setdefault(obstacle, []).append(metric.title)
        elif metric.needs_encoder:
            about = f"{metric.about} Encoder: {Path(encoder or '').name}; figures by others are not comparable."
            chosen.append(dataclasses.replace(metric, about=about))
        else:
            chosen.append(metric)
    return chosen, [f"Left out: {', '.join(titles)}; {obstacle}." for obstacle, titles in left_out.items()]


def _obstacle(metric: Metric, with_text: bool) -> str:
    """Why a metric cannot be computed, or ""."""
    for package in metric.packages:
        if importlib.util.find_spec(package) is None:
            return f"the package {package} is missing (pip install 'v2s-jax[eval]' adds it)"
    if metric.needs_text and not with_text:
        return "no clip has a text (a .txt or .align beside it, or in a manifest.jsonl)"
    return ""
