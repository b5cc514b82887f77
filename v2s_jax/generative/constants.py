"""Published and chosen numbers of processes and grids, for JAX and for PyTorch: no jax."""

DDPM_STEPS, DDPM_FIRST, DDPM_LAST = 1000, 1e-4, 0.02  # the table of betas of Ho et al. 2020
VP_LEAST, VP_MOST = 0.1, 20.0  # beta(t) of Song et al. 2021, what that table discretises
COSINE_OFFSET = 0.008  # of Nichol and Dhariwal 2021
COSINE_END = 2.4e-9  # alpha_bar at which their thousand clipped steps end
MARGIN = 1e-3  # how far from the data, where log-SNR is infinite, the last step of a grid in log-SNR begins
LOG_SNR_BOUND = 20.0  # of grids in log-SNR, for paths that begin without any signal
