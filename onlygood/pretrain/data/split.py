"""The order in which contents are drawn for the parts of a split."""

import hashlib
from collections.abc import Iterable


def order_by_content(names: Iterable[str], seed: int) -> list[str]:
    """The different ``names`` (content hashes, or groups that stay together) in an order drawn by ``seed``.

    It is that of sha256(seed, name): neither the order nor the names of files matter, and a new image moves
    no other.
    """
    return sorted(set(names), key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())
