"""The command line in a process of its own that heeds Ctrl-C.

What a script starts in its background inherits that SIGINT is ignored, and so would all that the tests start there.
"""

import sys

_MAIN = """
import signal, sys
from v2s_jax import cli
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.exit(cli.main())
"""
PROGRAM = [sys.executable, "-c", _MAIN]
