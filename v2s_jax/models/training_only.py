"""What augmentations on the device have in common: in evaluation they do nothing."""

from flax import nnx


class TrainingOnly(nnx.Module):
    """A module that `nnx.view` switches off for evaluation.

    Attributes:
        deterministic: whether everything stays as it is.
    """

    def __init__(self):
        self.deterministic = False

    def set_view(self, deterministic: bool | None = None) -> None:
        """Lets `nnx.view` switch between training and evaluation.

        Args:
            deterministic: whether everything stays as it is.
        """
        if deterministic is not None:
            self.deterministic = deterministic
