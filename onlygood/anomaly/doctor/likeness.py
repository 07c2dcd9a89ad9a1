"""Images that are nearly the same: taken twice, or few parts taken many times."""

from collections import Counter
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from onlygood.anomaly.data.groups import propose, relative
from onlygood.anomaly.doctor.findings import Finding, Material

_FEWEST = 8
_SHARE = 0.3  # of the usual distance to the nearest other image; nearer ones are near-duplicates
_OF_ALL = 0.1  # or this share of the usual distance of two images, where most have near-duplicates
_LEVELS = 2.0  # and at most so many gray levels between thumbnails
_NEIGHBORS = 2  # places before and after an image among the names
_SEQUENCE = 0.4  # of the images, at least, have their nearest so near among the names
_REPEATED = 2.0  # images of a look, at the mean, from which on looks repeat


def examine_likeness(material: Material, sides: dict[int, str]) -> Iterator[Finding]:
    """Findings about images that are too alike; ``sides`` says where `fit` would put each image."""
    names = any(sample.group for sample in material.good.samples)
    proposal = None if names else propose(relative(material.good))
    if proposal is not None:
        yield Finding(
            "parts",
            "warning",
            f"file names look like {proposal.parts} parts of about {proposal.images / proposal.parts:.0f} "
            "images",
            "images of one part on both sides of the split make the threshold too low: the promised rate "
            "then holds for parts that the model has seen, not for new ones",
            f"if they are, give fit --groups '{proposal.pattern}'",
        )
    if len(material.looked_at) < _FEWEST:
        return
    gaps = distances(material.thumbs)
    nearest = gaps.min(axis=1)
    usual, among_all = float(np.median(nearest)), float(np.median(gaps[np.isfinite(gaps)]))
    group = clusters(gaps < min(_LEVELS, max(_SHARE * usual, _OF_ALL * among_all)))
    yield from _near(material, group, sides, named=names)
    if proposal is None and not names:
        yield from _sequence(material, gaps, group)


def distances(thumbs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Gray levels (root mean square) between pictures ``(n, s, s)`` without their means; inf to itself."""
    flat = thumbs.reshape(len(thumbs), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    squares = (flat**2).sum(axis=1)
    gaps = np.maximum(squares[:, None] + squares[None] - 2 * flat @ flat.T, 0) / flat.shape[1]
    np.fill_diagonal(gaps, np.inf)
    return np.asarray(np.sqrt(gaps), np.float32)


def clusters(close: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The number of the group of each of n things ``(n,)``, joined where ``close`` ``(n, n)``."""
    group = np.arange(len(close))
    for i, j in np.argwhere(np.triu(close, 1)):
        group[group == group[j]] = group[i]
    return group


def _near(
    material: Material, group: NDArray[np.int64], sides: dict[int, str], *, named: bool
) -> Iterator[Finding]:
    ids, sizes = material.looked_at, Counter(group.tolist())
    several = [np.flatnonzero(group == g) for g, size in sizes.items() if size > 1]
    if not several:
        return
    near = [int(ids[i]) for members in several for i in members]
    split = sum(len({sides.get(int(ids[i])) for i in members} - {None}) > 1 for members in several)
    apart = f"; {split} of these groups would lie on both sides of the split" if sides else ""
    yield Finding(
        "near-duplicates",
        "warning",
        f"{len(near)} images are nearly the same as another one, in {len(several)} groups{apart}",
        "what is calibrated on must be as new to the model as the next part is; near-copies of training "
        "images get low scores, the threshold falls with them, and there are more false alarms than "
        "promised",
        "keep one of each group, or name the part in a list's column or by --groups"
        + (" (the groups that are named do not keep these together)" if named and split else ""),
        material.names(near),
        len(near),
    )


def _sequence(material: Material, gaps: NDArray[np.float32], group: NDArray[np.int64]) -> Iterator[Finding]:
    """Is the nearest image usually the one before or after? Then they are a film, or repeats in turn."""
    n = len(gaps)
    if n < 10 * _NEIGHBORS:
        return
    apart = np.abs(gaps.argmin(axis=1) - np.arange(n))
    share, chance = float(np.mean(apart <= _NEIGHBORS)), 2 * _NEIGHBORS / (n - 1)
    if share > max(_SEQUENCE, 2 * chance):
        yield Finding(
            "sequence",
            "warning",
            f"of {share:.0%} of the images the most similar one is next to them by name "
            f"({chance:.0%} by chance)",
            "frames of a film or repeated shots of a part are one observation, however many there are: the "
            "split tears them apart, and the promise holds for what has been seen",
            "name what belongs together by --groups, or take every tenth frame",
        )
    looks = len(set(group.tolist()))
    if n / looks >= _REPEATED:
        yield Finding(
            "few looks",
            "warning",
            f"{n} images show only {looks} different looks",
            "few parts photographed many times teach how these parts look, not how good parts look",
            "photograph more parts, and name the part of each image by --groups",
        )
