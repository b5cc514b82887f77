"""One task from the file that was sent to a wav, an mp4 and a picture."""

from typing import Any

from v2s_jax.constants import SAMPLES_PER_FRAME, VIDEO_FPS
from v2s_jax.errors import BadClip
from v2s_jax.media.audio import write_wav
from v2s_jax.media.clip import Clip
from v2s_jax.serving.decoding import clip_of, film, voice_in
from v2s_jax.serving.desk import Task, Wish
from v2s_jax.serving.limited import run_limited
from v2s_jax.synthesis.compilation import Ahead
from v2s_jax.synthesis.picture import write_picture
from v2s_jax.synthesis.speech import Speech, real_time_factor
from v2s_jax.synthesis.synthesizer import Synthesizer

RESULTS = {"speech.wav": "audio/wav", "speech.mp4": "video/mp4", "speech.png": "image/png"}
_PICTURED = 20 * VIDEO_FPS  # frames that fit into a picture


def speak(task: Task, seconds: float | int) -> None:
    """Does what a task wishes, into its folder; what was sent is deleted.

    Args:
        task: with a wish.
        seconds: that reading a file may take.

    Raises:
        BadClip: the clip or the voice cannot be used; the sentence has the sender's name for it.
        Gone: nobody wants it any more.
    """
    wish = task.wish
    assert wish is not None
    try:
        task.enter("reading")
        clip = run_limited(clip_of, (wish.clip, wish.face), seconds, task.gone)
        synthesizer = _as_wished(task, wish, seconds)
        task.enter("compiling")
        with Ahead(synthesizer, {len(clip.mouth)}) as ahead:
            ahead.wait()
        task.enter("speaking")
        speech = synthesizer(clip)
        task.enter("writing")
        write_wav(task.folder / "speech.wav", speech.waveform)
        shown = speech.waveform[: SAMPLES_PER_FRAME * _PICTURED]
        write_picture(task.folder / "speech.png", clip.mouth[:_PICTURED], shown)
        run_limited(film, (wish.clip, speech.waveform, task.folder / "speech.mp4"), seconds, task.gone)
        task.facts = _facts(clip, speech)
    except BadClip as error:
        raise BadClip(str(error).replace(str(wish.clip), wish.name)) from error
    finally:
        wish.clip.unlink(missing_ok=True)


def _as_wished(task: Task, wish: Wish, seconds: float | int) -> Synthesizer:
    """The model in the voice and with the number of evaluations asked for, its compiled programs shared."""
    synthesizer = wish.offer.synthesizer
    if wish.evaluations is not None:
        synthesizer = synthesizer.tuned({"evaluations": float(wish.evaluations)})
    if wish.voice is None:
        return synthesizer
    heard = task.folder / "voice.wav"  # written here, so that the network's process need not open the sender's file
    try:
        write_wav(heard, run_limited(voice_in, (wish.voice,), seconds, task.gone))
        return synthesizer.in_voice_of(heard)
    except BadClip as error:
        sentence = str(error).replace(str(wish.voice), "the voice").replace(str(heard), "the voice")
        raise BadClip(sentence) from error
    finally:
        wish.voice.unlink(missing_ok=True)
        heard.unlink(missing_ok=True)


def _facts(clip: Clip, speech: Speech) -> dict[str, Any]:
    return {
        "seconds": round(speech.seconds, 2),
        "coverage": round(clip.coverage, 3),
        "faces_seen": clip.n_faces,
        "warnings": list(clip.warnings),
        "real_time_factor": round(real_time_factor(speech.timings, speech.seconds), 3),
    }
