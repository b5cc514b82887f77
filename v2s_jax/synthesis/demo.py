"""`v2s-jax demo`: the shipped model speaks the shipped clip; the result beside the truth, to hear, see and read."""

import argparse
import json
import time
from pathlib import Path

from v2s_jax.errors import V2SError
from v2s_jax.evaluation.metrics import choose
from v2s_jax.evaluation.report import write_report
from v2s_jax.evaluation.scoring import ClipScore, Pair, evaluate
from v2s_jax.evaluation.table import number
from v2s_jax.media.atomic import make_folder
from v2s_jax.media.audio import write_wav
from v2s_jax.media.clip import Clip, load_clip
from v2s_jax.media.mux import put_sound_back
from v2s_jax.models import shipped
from v2s_jax.synthesis.picture import write_picture
from v2s_jax.synthesis.pretrained import DEFAULT
from v2s_jax.synthesis.speech import real_time_factor
from v2s_jax.synthesis.synthesizer import Synthesizer

HELP = "speak the clip that ships with the package and compare with what was said"

_FILES = ("speech.wav", "speech.mp4", "speech.png", "report.html")
_METRICS = ("stoi", "estoi", "mcd", "wer")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's options."""
    parser.add_argument("--out", type=Path, default=Path("demo_out"), metavar="DIR", help="(default: ./%(default)s)")
    parser.add_argument("--model", default=DEFAULT, metavar="NAME-OR-PATH", help="(default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Writes speech.wav, speech.mp4, speech.png, report.html and the true sound, and prints a summary."""
    source, text = shipped_clip()
    make_folder(args.out)
    synthesizer = Synthesizer.from_pretrained(args.model)
    start = time.perf_counter()
    clip = load_clip(source)
    if clip.audio is None:
        raise V2SError(f"{source}: the demo's clip has no sound to compare with; install v2s_jax again")
    read = time.perf_counter() - start
    speech = synthesizer(clip)  # looks at the clip's mouth and face alone, never at its sound
    start = time.perf_counter()
    write_wav(args.out / "speech.wav", speech.waveform)
    put_sound_back(source, speech.waveform, args.out / "speech.mp4")
    timings = {"read": read} | speech.timings | {"write": time.perf_counter() - start}
    write_wav(args.out / "true.wav", clip.audio)
    write_picture(args.out / "speech.png", clip.mouth, speech.waveform, clip.audio)
    score = _score(args, Pair("speech", clip.audio, speech.waveform, text))
    print(_summary(args, clip, text, score, timings, speech.seconds))
    return 0


def shipped_clip() -> tuple[Path, str]:
    """The demo's clip and what is said in it."""
    folder = shipped.assets() / "demo"
    try:
        text = json.loads((folder / "clip.json").read_text(encoding="utf-8"))["text"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise V2SError(f"{folder / 'clip.json'}: missing or damaged; install v2s_jax again") from error
    return folder / "clip.mp4", text


def _score(args: argparse.Namespace, pair: Pair) -> ClipScore:
    """Scores the speech against the true sound and writes the report."""
    names = [metric.name for metric in choose(None, with_text=True)[0] if metric.name in _METRICS]
    evaluation = evaluate([pair], names=names, jobs=1, about={"model": args.model})
    write_report(args.out / "report.html", evaluation, [pair], figures=[args.out / "speech.png"])
    return evaluation.clips[0]


def _summary(
    args: argparse.Namespace, clip: Clip, text: str, score: ClipScore, timings: dict[str, float], seconds: float
) -> str:
    made, real = score.values["generated"], score.values["recording"]
    heard, errors = "no recogniser is installed (pip install 'v2s-jax[eval]')", "-"
    if "wer" in made:
        heard = " ".join(word for _, word in score.steps if word) or "(nothing)"
        errors = f"{made['wer']:.0f} % of the words wrong; in the true sound, {real['wer']:.0f} %"
    factor = real_time_factor(timings, seconds)
    stages = ", ".join(f"{stage} {spent / seconds:.2f}" for stage, spent in timings.items() if stage != "compile")
    compiling = timings.get("compile", 0.0)
    lines = {
        "clip": f"{seconds:.1f} s of video, face found in {clip.coverage:.0%} of the frames; its sound is not used",
        "model": args.model,
        "said": text,
        "recognised": heard,
        "word errors": errors,
        "likeness": f"STOI {number(made['stoi'], 3)}, ESTOI {number(made['estoi'], 3)} against the true sound",
        "speed": f"real-time factor {factor:.2f} ({stages}); once, compiling: {compiling:.1f} s",
        "written": ", ".join(str(args.out / name) for name in _FILES),
    }
    return "\n".join(f"{name:<12} {value}" for name, value in lines.items())
