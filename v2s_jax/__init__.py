"""v2s_jax: video-to-speech synthesis in JAX."""

__version__ = "0.1.0"
