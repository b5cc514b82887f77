"""The models that the page offers, and what each lets a user choose."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from v2s_jax.errors import V2SError
from v2s_jax.models.settings import section_of
from v2s_jax.models.shipped import assets, shipped
from v2s_jax.synthesis.pretrained import DEFAULT
from v2s_jax.synthesis.synthesizer import Synthesizer

MOST_EVALUATIONS = 250


@dataclasses.dataclass(frozen=True)
class Offer:
    """A model.

    Attributes:
        name: as on the command line.
        synthesizer: of it.
    """

    name: str
    synthesizer: Synthesizer

    @property
    def evaluations(self) -> int | None:
        """Of its decoder unless asked otherwise; None of models that have no such choice."""
        own = self.synthesizer.network.knobs.get("evaluations")
        return None if own is None else round(own)

    @property
    def takes_voice(self) -> bool:
        """Whether it can speak in the voice of a recording."""
        return self.synthesizer.network.takes_voice

    def facts(self) -> dict[str, Any]:
        """What the page is told of it."""
        system = self.synthesizer.config.system.name
        return {"name": self.name, "system": system, "evaluations": self.evaluations, "voice": self.takes_voice}


def shipped_speakers() -> list[str]:
    """Names of the shipped models that speak, the default first."""
    found = [name for name in shipped() if section_of(assets() / name) == "system"]
    return sorted(found, key=lambda name: (name != DEFAULT, name))


def load_offer(name: str, batch_size: int = 1) -> Offer:
    """One of them by name or path.

    Raises:
        V2SError: there is no such model, or it makes no speech of clips.
    """
    synthesizer = Synthesizer.from_pretrained(name, batch_size)
    if synthesizer.listens:
        raise V2SError(f"{name}: this model listens to the true sound; name one that only sees")
    return Offer(name, synthesizer)


def by_name(offers: Sequence[Offer]) -> dict[str, Offer]:
    """Offers by name, in order."""
    return {offer.name: offer for offer in offers}
