"""Which noise goes with which data in a batch of flow matching.

Independent pairs are the default and need nothing. Pairs of a mini-batch's optimal transport make the paths straighter
(Tong et al. 2024, arXiv 2302.00482; Pooladian et al. 2023, arXiv 2304.14772).

The assignment is exact: optax's Hungarian algorithm, plain JAX under jit and without a host round trip. Its cost grows
with the cube of the batch and it runs in sequence, which is little beside a network for the batches of one device
(tens of rows); Sinkhorn's rounding would parallelise better, but is not exact and has a temperature to choose.
"""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int


def transport_cost(
    x_0: Float[Array, "B *D"], x_1: Float[Array, "B *D"], mask: Bool[Array, "B ..."] | None = None
) -> Float[Array, "B B"]:
    """Squared distances of noise i from data j over the valid entries of j.

    Args:
        x_0: noise.
        x_1: data.
        mask: True at valid entries of the data, of their rank, axes of length 1 standing for whole ones.
    """
    valid = jnp.broadcast_to(jnp.ones((1,) * x_1.ndim, bool) if mask is None else mask, x_1.shape)
    noise, valid = x_0.reshape(len(x_0), -1).astype(jnp.float32), valid.reshape(len(x_1), -1)
    data = jnp.where(valid, x_1.reshape(len(x_1), -1).astype(jnp.float32), 0)
    # As products of matrices: the differences of all pairs would be batch times as large as the batch.
    return noise**2 @ valid.T.astype(jnp.float32) - 2 * noise @ data.T + jnp.sum(data**2, 1)[None]


def assignment(cost: Float[Array, "B B"]) -> Int[Array, "B"]:
    """The row of each column in the cheapest one-to-one assignment."""
    rows, columns = optax.assignment.hungarian_algorithm(cost)
    return jnp.zeros_like(rows).at[columns].set(rows)


def minibatch_ot(
    x_0: Float[Array, "B *D"], x_1: Float[Array, "B *D"], mask: Bool[Array, "B ..."] | None = None
) -> Float[Array, "B *D"]:
    """The noise reordered to go with the data at the least sum of squared distances; conditions stay where they are.

    Args:
        x_0: noise.
        x_1: data.
        mask: True at valid entries of the data, of their rank, axes of length 1 standing for whole ones.
    """
    return x_0[assignment(jax.lax.stop_gradient(transport_cost(x_0, x_1, mask)))]
