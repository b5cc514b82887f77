"""Several stages of a system trained one after the other by one command."""

from collections.abc import Iterator
from pathlib import Path

from ml_collections import ConfigDict

from v2s_jax.errors import V2SError


def stages_of(config: ConfigDict, workdir: Path) -> Iterator[tuple[ConfigDict, Path]]:
    """The config and the workdir of every run that an experiment consists of, in order.

    That is the experiment itself, unless `train.stages` names several stages. Then each has the settings of
    `stages.NAME` on top of the others and begins with the weights of the one before. The last is in the workdir itself,
    those before in folders of their names inside. If `train.stage` names one of them, it is the only run.

    Args:
        config: an experiment.
        workdir: of it.

    Raises:
        V2SError: the settings of a stage do not fit, or a stage is named twice.
    """
    names = config.train.stages
    if config.train.stage in names:
        yield _with_settings(config, config.train.stage), workdir
        return
    if not names or config.train.stage:
        yield config, workdir
        return
    if len(set(names)) < len(names):
        raise V2SError(f"train.stages is {', '.join(names)}: expected every stage once")
    if unknown := sorted(set(config.stages) - set(names)):
        raise V2SError(f"stages.{unknown[0]} has settings, but train.stages names {', '.join(names)} alone")
    before: Path | None = None
    for name in names:
        own = _with_settings(config, name)
        if before is not None:
            own.train.init_from, own.train.grafts = str(before), ()
        before = workdir if name == names[-1] else workdir / name
        yield own, before


def _with_settings(config: ConfigDict, name: str) -> ConfigDict:
    own = ConfigDict(config.to_dict()).lock()
    try:
        own.update(config.stages.get(name, ConfigDict()))
    except (KeyError, TypeError) as error:
        sentence = str(error.args[0]).splitlines()[0]
        raise V2SError(f"stages.{name} has a setting that does not fit the experiment: {sentence}") from error
    own.train.stage, own.train.stages = name, ()
    with own.unlocked():
        own.stages = ConfigDict()
    return own
