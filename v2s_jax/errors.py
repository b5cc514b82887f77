"""What a user can get wrong, as exceptions that carry one clear sentence."""


class V2SError(Exception):
    """A mistake the user can mend: the message names the file, what was expected and what to do.

    The command line prints the message alone and exits with status 1; everything else is a bug and keeps its traceback.
    """


class BadClip(V2SError):
    """One clip cannot be used (no face, no picture track, unreadable ...); a batch reports it, skips it and goes on."""
