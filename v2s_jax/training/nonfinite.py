"""What a run is told of a step that went wrong."""

from v2s_jax.errors import V2SError


class NotFiniteError(V2SError):
    """A loss or gradient of a step was not a number."""

    def __init__(self, step: int, loss: float, saved: list[int]):
        self.step, self.what = step, f"The loss ({loss:g}) or a gradient was not finite at step {step}."
        kept = f"the checkpoint of step {saved[-1]} is the last good one" if saved else "nothing was saved yet"
        super().__init__(
            f"{self.what[:-1]} and the run stopped; {kept}: lower optimizer.learning_rate or look at the data."
        )
