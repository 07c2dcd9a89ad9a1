"""What lies in a folder or a list file: which images are good, which are not, where their masks are."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import numpy as np

from onlygood.anomaly.data.layouts import from_folder
from onlygood.anomaly.data.lists import from_list
from onlygood.anomaly.data.samples import Dataset, Part, Sample
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.files import IMAGE_SUFFIXES, display

__all__ = ["Dataset", "Part", "Sample", "discover", "split_good"]


def discover(path: Path | str, part: Part = "all", *, all_good: bool = False) -> Dataset:
    """Find out what ``path`` holds: a folder (``layouts.py``) or a list (``lists.py``).

    ``train``: the good images to learn from (of data that are divided those of the training part only).
    ``test``: the images to judge (of data that are divided the test part; of others everything, so leave out
    what was learned from). ``all_good``: images in folders whose names say nothing are good.

    Raises:
        OnlygoodError: nothing there, nothing to tell good from bad by, or nothing in the asked part.
    """
    root = Path(path)
    if part not in get_args(Part):
        raise OnlygoodError(f"part must be one of {', '.join(get_args(Part))}, not {part!r}")
    if root.is_file():
        if root.suffix.lower() in IMAGE_SUFFIXES:
            raise OnlygoodError(f"{display(root)} is one image; give the folder of images or a list file")
        return from_list(root).dataset(part)
    if root.is_dir():
        return from_folder(root, all_good=all_good).dataset(part)
    raise OnlygoodError(f"{display(root)}: no such folder or list file")


def split_good(hashes: Sequence[str], counts: Sequence[int], seed: int) -> list[np.ndarray]:
    """Disjoint id arrays, sorted, of about ``counts`` images each; what is over stays unused.

    ``hashes`` holds one string per image, its content hash (or any name of a group that must stay together,
    such as a part number). Images of equal hash never come into different arrays. Who goes where is decided
    by the content alone: groups are taken in the order of sha256(seed, hash), so neither the names of files
    nor their order matter.

    A group goes into the first array that still has room for all of it. Groups for which none has room then
    go to the array with the most room left. So counts are met exactly if every image is unique, and
    otherwise missed by less than the size of the largest group.

    Raises:
        OnlygoodError: fewer images than asked for, or groups so large that an array stays empty.
    """
    if any(count < 1 for count in counts) or not counts:
        raise OnlygoodError(f"a split needs parts of at least one image, not {list(counts)}")
    if sum(counts) > len(hashes):
        raise OnlygoodError(
            f"{len(hashes)} good images are too few to split into {' + '.join(map(str, counts))}"
        )
    groups: dict[str, list[int]] = defaultdict(list)
    for index, name in enumerate(hashes):
        groups[name].append(index)
    order = sorted(groups, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())
    room = list(counts)
    parts: list[list[int]] = [[] for _ in counts]
    too_large: list[list[int]] = []
    for ids in (groups[name] for name in order):
        fitting = next((part for part, free in enumerate(room) if free >= len(ids)), None)
        if fitting is None:
            too_large.append(ids)
        else:
            parts[fitting] += ids
            room[fitting] -= len(ids)
    for ids in too_large:
        most = max(range(len(room)), key=room.__getitem__)
        if room[most] > 0:
            parts[most] += ids
            room[most] -= len(ids)
    if not all(parts):
        raise OnlygoodError(
            f"the {len(hashes)} good images are only {len(groups)} different ones (the others are copies): "
            f"too few to split into {len(parts)} parts; add different images"
        )
    return [np.array(sorted(ids), dtype=np.int64) for ids in parts]
