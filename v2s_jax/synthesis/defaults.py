"""The `synthesis` section of a config: how a trained model speaks; models whose config lacks it get these."""

from ml_collections import ConfigDict

from v2s_jax.errors import V2SError

_WINDOW = 250  # frames, for models whose config does not say what they were trained on


def default_config() -> ConfigDict:
    """Windows in video frames at 25 a second, and how their mel is made heard."""
    return ConfigDict(
        {
            "window": 0,  # frames the network sees at once; 0: the longest it saw in training
            "overlap": 0,  # frames that neighbouring windows of a longer clip share at least; 0: a third of the window
            "fade": 4,  # frames of cross-fade in the middle of what they share
            "levels": (),  # of mouth crops in training, as `levels.measure` gives them; crops beyond are brought there
            "contrast": 1.0,  # of the mel over time before the vocoder, see `vocoder.sharpen`
            "face_encoder": "dlib",  # of models that take a face embedding: as of the data they were trained on
            "speaker_encoder": "voices-ge2e",  # likewise, for voices to speak in
            "vocoder": "spectral-small",  # shipped, or "griffin_lim", or the path of another
            "griffin_lim_iterations": 60,  # if that is the vocoder
        }
    )


def synthesis_config(config: ConfigDict) -> ConfigDict:
    """The section of a model's config on top of the defaults, zeros replaced by what they stand for.

    Raises:
        V2SError: a key or value that this version does not know.
    """
    merged = default_config()
    for name, value in config.get("synthesis", ConfigDict()).items():
        value = tuple(value) if isinstance(value, list) else value  # as JSON has it
        if name not in merged or type(value) is not type(merged[name]):
            known = ", ".join(f"{key} (such as {default!r})" for key, default in merged.items())
            raise V2SError(f"the model's config has synthesis.{name} = {value!r}; this version knows {known}")
        merged[name] = value
    buckets = config.get("data", ConfigDict()).get("buckets", ())
    merged.window = merged.window or max(buckets, default=_WINDOW)
    merged.overlap = merged.overlap or merged.window // 3
    if not 0 < 2 * merged.fade <= merged.overlap <= merged.window - 2 * merged.fade:
        raise V2SError(
            f"the model's config has synthesis.window = {merged.window}, overlap = {merged.overlap} and fade = "
            f"{merged.fade}; expected 0 < 2 fade <= overlap <= window - 2 fade"
        )
    if merged.levels and not _are_levels(merged.levels):
        raise V2SError(
            f"the model's config has synthesis.levels = {merged.levels}; expected the least and greatest mean and the "
            "least and greatest standard deviation of grey levels"
        )
    if not merged.contrast > 0:
        raise V2SError(f"the model's config has synthesis.contrast = {merged.contrast}; expected a number above 0")
    return merged


def _are_levels(levels: tuple) -> bool:
    if len(levels) != 4 or not all(isinstance(x, int | float) and not isinstance(x, bool) for x in levels):
        return False
    least, most, flattest, steepest = levels
    return 0 <= least <= most <= 255 and 0 < flattest <= steepest <= 128
