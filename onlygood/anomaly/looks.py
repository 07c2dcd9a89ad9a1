"""What small pictures of images tell before any network: repeats, alignment, and which turns can be told."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onlygood.pretrain.data.store import ImageStore
from onlygood.runtime.images.resize import resize
from onlygood.runtime.images.spec import InputSpec

THUMB = 48  # px, the side of the pictures by which images are compared with each other
MOST = 2000  # images that are compared with each other
ALIGNED = 0.8  # median correlation with the median image, from which on parts are aligned
# Below one of these accuracies of a linear classifier, `doctor` finds a symmetry and `auto` takes no recipe
# that asks for turns.
TOLD_QUARTERS = 0.4  # of four quarter turns; guessing gives 0.25
TOLD_HALVES = 0.65  # of two half turns; guessing gives 0.5
FEW_LOOKS = 2.0  # images of a look, at the mean, from which on looks repeat
_FEWEST = 8
_SHARE = 0.3  # of the usual distance to the nearest other image; nearer ones are near-duplicates
_OF_ALL = 0.1  # or this share of the usual distance of two images, where most have near-duplicates
_LEVELS = 2.0  # and at most so many gray levels between thumbnails
_NEIGHBORS = 2  # places before and after an image among the names
_SEQUENCE = 0.4  # of the images, at least, have their nearest so near among the names

Thumbs = NDArray[np.float32]


def spread(ids: NDArray[np.int64], most: int = MOST) -> NDArray[np.int64]:
    """All of ``ids`` ``(n,)``, or ``most`` spread over them."""
    if len(ids) <= most:
        return ids
    return np.asarray(ids[np.linspace(0, len(ids) - 1, most).astype(int)])


def thumbnails(store: ImageStore, ids: NDArray[np.int64]) -> Thumbs:
    """Small gray pictures of images ``ids`` of the store, ``(n, THUMB, THUMB)``, 0 to 255."""
    spec = InputSpec(height=THUMB, width=THUMB, channels=1)
    small = [resize(store.batch(np.array([i]))[0], spec)[..., 0] for i in ids]
    return np.stack(small).astype(np.float32)


@dataclass(frozen=True)
class Likeness:
    """Which images are nearly the same as others.

    ``look`` ``(n,)`` is equal for images that are. Of ``in_turn`` of all images the most similar one is next
    to them in the order given; by chance it would be so of ``chance``.
    """

    look: NDArray[np.int64]
    in_turn: float
    chance: float

    @classmethod
    def of(cls, thumbs: Thumbs) -> "Likeness | None":
        """From pictures ``(n, s, s)`` in the order of their names; None for a handful."""
        n = len(thumbs)
        if n < _FEWEST:
            return None
        gaps = distances(thumbs)
        nearest = gaps.min(axis=1)
        usual, among_all = float(np.median(nearest)), float(np.median(gaps[np.isfinite(gaps)]))
        look = clusters(gaps < min(_LEVELS, max(_SHARE * usual, _OF_ALL * among_all)))
        apart = np.abs(gaps.argmin(axis=1) - np.arange(n))
        return cls(look, float(np.mean(apart <= _NEIGHBORS)), 2 * _NEIGHBORS / (n - 1))

    @property
    def looks(self) -> int:
        """How many different looks there are."""
        return len(set(self.look.tolist()))

    @property
    def repeated(self) -> bool:
        """Whether few parts seem to have been photographed many times."""
        return len(self.look) >= 10 * _NEIGHBORS and len(self.look) / self.looks >= FEW_LOOKS

    @property
    def sequence(self) -> bool:
        """Whether the images seem to be a film, or repeats in turn."""
        return len(self.look) >= 10 * _NEIGHBORS and self.in_turn > max(_SEQUENCE, 2 * self.chance)

    def several(self) -> list[NDArray[np.int64]]:
        """The places in the order given of the images of each look that has more than one."""
        members = [np.flatnonzero(self.look == number) for number in np.unique(self.look)]
        return [places for places in members if len(places) > 1]


def distances(thumbs: Thumbs) -> Thumbs:
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


def fit_to_median(thumbs: Thumbs) -> NDArray[np.float64]:
    """Correlation ``(n,)`` of each picture ``(n, s, s)`` with the median of all."""
    flat = thumbs.reshape(len(thumbs), -1).astype(np.float64)
    flat -= flat.mean(axis=1, keepdims=True)
    flat /= np.linalg.norm(flat, axis=1, keepdims=True) + 1e-9
    middle = np.median(flat, axis=0)
    return np.asarray(flat @ (middle / (np.linalg.norm(middle) + 1e-9)))


def tell_turns(thumbs: Thumbs) -> tuple[float, float]:
    """How often four quarter turns, and two half turns, of pictures ``(n, s, s)`` can be told apart.

    A linear classifier over coarse brightness and signed gradients in a 4×4 grid, by two-fold
    cross-validation over images. It is weaker than a network, and what it tells a network can tell.
    """
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415

    turned = [np.stack([_describe(np.rot90(thumb, k)) for thumb in thumbs]) for k in range(4)]
    fold = np.arange(len(thumbs)) % 2
    scores = []
    for kinds in ((0, 1, 2, 3), (0, 2)):
        right = []
        for side in (0, 1):
            model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=200))
            labels = np.repeat(np.arange(len(kinds)), int(np.sum(fold == side)))
            model.fit(np.concatenate([turned[k][fold == side] for k in kinds]), labels)
            others = np.repeat(np.arange(len(kinds)), int(np.sum(fold != side)))
            right.append(model.score(np.concatenate([turned[k][fold != side] for k in kinds]), others))
        scores.append(float(np.mean(right)))
    return scores[0], scores[1]


def turns_are_told(quarter: float, half: float) -> bool:
    """Whether a task that asks which way an image was turned has something to learn; of `tell_turns`."""
    return quarter >= TOLD_QUARTERS and half >= TOLD_HALVES


def _describe(thumb: Thumbs) -> Thumbs:
    """Coarse brightness ``8×8``, and means of rising and falling gradients of a 4×4 grid, of one picture."""
    plain = thumb - thumb.mean()
    plain = plain / (plain.std() + 1)
    down, across = np.gradient(plain)
    parts = [np.maximum(g, 0) for g in (down, -down, across, -across)]
    return np.concatenate([_blocks(plain, 8), *(_blocks(part, 4) for part in parts)])


def _blocks(plane: Thumbs, count: int) -> Thumbs:
    side = plane.shape[0] // count
    return np.asarray(plane.reshape(count, side, count, side).mean(axis=(1, 3)).ravel())
