"""Numbers that networks and their modules in PyTorch share: no jax."""

TIME_STEPS = 1000.0  # times run from 0 to 1; their sinusoids were made for steps of a process of a thousand
LONGEST = 10_000.0  # period of sinusoids of times and places, in steps over 2 pi (Vaswani et al. 2017)
ROTARY_BASE = 10_000.0  # of the rotations' periods (Su et al. 2021)
EXPRESSION_BLOCKS, EXPRESSION_TAPS = 2, 7  # of convolutions over the time of a face: it knows half a second
