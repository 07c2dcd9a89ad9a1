"""Sets of permutations that are far from each other, for puzzles."""

from functools import lru_cache
from itertools import permutations
from math import factorial

import numpy as np
from numpy.typing import NDArray

from onlygood.runtime.errors import OnlygoodError


@lru_cache(maxsize=8)
def distant_permutations(count: int, length: int, seed: int = 0) -> NDArray[np.int64]:
    """``(count, length)`` distinct permutations of ``0 … length - 1``; the array is shared and read-only.

    The first is random. Each further one is the permutation whose smallest Hamming distance to those chosen
    is largest; the mean distance breaks ties. Maximizing the mean alone, as the published script does, leaves
    pairs that differ by one swap. This takes half a second for 100 of the 9!.

    Raises:
        OnlygoodError: there are fewer permutations than ``count``.
    """
    if count > factorial(length):
        raise OnlygoodError(f"{length} tiles have {factorial(length)} permutations, not {count}")
    every = np.array(list(permutations(range(length))), dtype=np.int8)
    nearest = np.full(len(every), length + 1, dtype=np.int64)
    total = np.zeros(len(every), dtype=np.int64)
    chosen = [int(np.random.default_rng(seed).integers(len(every)))]
    while len(chosen) < count:
        distance = (every != every[chosen[-1]]).sum(axis=1)
        np.minimum(nearest, distance, out=nearest)
        total += distance
        chosen.append(int((nearest * (length * count + 1) + total * (nearest > 0)).argmax()))
    result = every[chosen].astype(np.int64)
    result.flags.writeable = False
    return result
