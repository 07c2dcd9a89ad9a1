"""The permutation sets of puzzles."""

import numpy as np
import pytest
from numpy.typing import NDArray

from onlygood.pretrain.views.permutations import distant_permutations
from onlygood.runtime.errors import OnlygoodError


def hamming(orders: NDArray[np.int64]) -> NDArray[np.int64]:
    """Distances of all pairs."""
    distances: NDArray[np.int64] = (orders[:, None] != orders[None]).sum(axis=2)
    return distances[np.triu_indices(len(orders), 1)]


@pytest.mark.parametrize(("count", "smallest"), [(24, 7), (100, 6)])
def test_the_closest_pair_is_far(count: int, smallest: int) -> None:
    """Maximizing the mean alone would leave pairs at distance 2."""
    orders = distant_permutations(count, 9)
    assert orders.shape == (count, 9)
    assert (np.sort(orders, axis=1) == np.arange(9)).all()
    assert hamming(orders).min() >= smallest
    assert hamming(orders).mean() > 8


def test_all_orders_of_four_are_used_once() -> None:
    assert len(np.unique(distant_permutations(24, 4), axis=0)) == 24


def test_four_orders_of_four_are_a_latin_square() -> None:
    """The best there is: no two agree in any place."""
    assert hamming(distant_permutations(4, 4)).min() == 4


def test_the_seed_decides() -> None:
    first = distant_permutations(10, 6, seed=1)
    distant_permutations.cache_clear()
    assert (distant_permutations(10, 6, seed=1) == first).all()
    assert (distant_permutations(10, 6, seed=2) != first).any()


def test_more_than_there_are() -> None:
    with pytest.raises(OnlygoodError, match="4 tiles have 24 permutations, not 25"):
        distant_permutations(25, 4)
