"""How the page says numbers of bytes."""


def gb(count: float) -> str:
    """Returns bytes in the unit that suits them."""
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
