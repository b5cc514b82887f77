"""A disk that is full: the system refuses files larger than some bytes as it refuses to write to a full disk."""

import contextlib
import resource


def limit_files(size):
    """From now on no file of this process may grow beyond so many bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


@contextlib.contextmanager
def full_disk(size=64):
    """While entered."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    limit_files(size)
    try:
        yield
    finally:
        limit_files(before)
