"""Where each side's functions are, and the environment that each needs."""

from benchmarks.harness import Side

KERAS_RS = ("keras_rs_tensorflow", "keras_rs_jax", "keras_rs_torch")


def ours_side(function: str) -> Side:
    """Returns the side of this project."""
    return Side("benchmarks.ours", function)


def tfrs_side(function: str) -> Side:
    """Returns the side of TensorFlow Recommenders."""
    return Side("benchmarks.peers.tfrs.sides", function, "tfrs")


def keras_rs_sides(function: str) -> dict[str, Side]:
    """Returns a side of keras-rs for each backend."""
    return {
        peer: Side("benchmarks.peers.keras_rs", function, peer, {"KERAS_BACKEND": peer.removeprefix("keras_rs_")})
        for peer in KERAS_RS
    }
