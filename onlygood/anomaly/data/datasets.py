"""Read a folder or a list file: which images are good, which are not, where their masks are."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import numpy as np

from onlygood.anomaly.data.layouts import from_folder
from onlygood.anomaly.data.lists import from_list
from onlygood.anomaly.data.samples import Dataset, Part, Sample
from onlygood.pretrain.data.split import order_by_content
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.files import IMAGE_SUFFIXES, display

__all__ = ["Dataset", "Part", "Sample", "discover", "split_good"]


def discover(path: Path | str, part: Part = "all", *, all_good: bool = False) -> Dataset:
    """Read ``path``: a folder (``layouts.py``) or a list (``lists.py``).

    Args:
        path: the folder or list.
        part: "train": the good images to learn from; if the data are divided, only those of the training
            part. "test": the images to judge; if the data are not divided, all images, so the caller must
            leave out those that the model has learned from.
        all_good: take images in folders whose names say nothing as good.

    Raises:
        OnlygoodError: there is no such file, nothing says which images are good, or the part is empty.
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
    """Split images into disjoint, sorted id arrays of about ``counts`` images each; the rest stays unused.

    ``hashes`` holds one string for each image: its content hash, or the name of a group that must stay
    together, such as a part number. Images of equal hash are always in the same array. Only the content
    decides: groups are taken in the order of sha256(seed, hash), so names and order of files do not matter.

    A group goes into the first array that has room for all of it. A group that fits into no array goes, at
    the end, into the array with the most room. So the counts are exact if all images are unique; otherwise
    they are missed by less than the size of the largest group.

    Raises:
        OnlygoodError: there are fewer images than asked for, or groups are so large that an array is empty.
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
    room = list(counts)
    parts: list[list[int]] = [[] for _ in counts]
    too_large: list[list[int]] = []
    for ids in (groups[name] for name in order_by_content(groups, seed)):
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
