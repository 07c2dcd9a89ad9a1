"""Who goes where is decided by contents and the seed alone."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from onlygood.pretrain.data.split import order_by_content


def test_the_order_by_hand() -> None:
    digests = {name: hashlib.sha256(f"7:{name}".encode()).hexdigest() for name in "abc"}
    assert order_by_content("cabba", 7) == sorted("abc", key=digests.__getitem__)


@given(st.sets(st.text(), min_size=1), st.text(), st.integers(0, 9))
def test_one_more_moves_no_other(names: set[str], more: str, seed: int) -> None:
    longer = order_by_content([*names, more], seed)
    assert [name for name in longer if name in names] == order_by_content(sorted(names), seed)
