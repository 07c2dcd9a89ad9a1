"""How parts lie: can turns be told, which blinds rotation tasks where not, and are the parts aligned?"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from onlygood.anomaly.doctor.findings import Finding, Material
from onlygood.anomaly.looks import ALIGNED, TOLD_QUARTERS, fit_to_median, spread, tell_turns, turns_are_told
from onlygood.pretrain.tasks.turning import tells_turns

_FEWEST = 20
_IMAGES = 400
_FAR, _LEAST = 3.0, 0.1  # a misfit is so many times the usual one, and at least so large
_EXPLAINED = 0.5  # of the misfit, at least, is gone when the picture is moved, turned or mirrored


def examine_pose(material: Material) -> Iterator[Finding]:
    """Findings about turns and alignment."""
    thumbs = material.thumbs
    if len(thumbs) < _FEWEST:
        return
    yield from _turns(material, thumbs)
    yield from _alignment(material, thumbs)


def _turns(material: Material, thumbs: NDArray[np.float32]) -> Iterator[Finding]:
    told, half = tell_turns(thumbs[spread(np.arange(len(thumbs)), _IMAGES)])
    if turns_are_told(told, half):
        return
    blind = told < TOLD_QUARTERS
    turns = "quarter turns" if blind else "half turns"
    accuracy, guess = (told, 0.25) if blind else (half, 0.5)
    task = material.recipe.task
    uses = tells_turns(task.name, task.options)
    yield Finding(
        "symmetry",
        "warning" if uses else "note",
        f"{turns} of these images can hardly be told: {accuracy:.0%} right, and guessing gives {guess:.0%}",
        "a pretext task that asks which way the image was turned has no answer here: its loss stays at "
        "chance, and the detector knows nothing"
        if uses
        else "tasks that ask which way an image was turned would learn nothing from them",
        f"take another recipe than one on {task.name}: surfaces or maps"
        if uses
        else "nothing: this recipe does not ask; keep away from recipes of rotations (objects)",
    )


def _alignment(material: Material, thumbs: NDArray[np.float32]) -> Iterator[Finding]:
    likeness = fit_to_median(thumbs)
    usual = float(np.median(likeness))
    if usual < ALIGNED:
        yield Finding(
            "alignment",
            "note",
            f"images do not lie on each other: the median correlation with the usual picture is {usual:.2f}",
            "of surfaces that is as it should be; of parts it means that what is normal at a place cannot be "
            "learned, and heads that compare places (padim) cannot use the place",
            "for parts: a fixture, or cutting the part out and turning it upright before",
        )
        return
    far = np.flatnonzero(1 - likeness > max(_LEAST, _FAR * (1 - usual)))
    middle = np.median(thumbs, axis=0)
    moved = [int(i) for i in far if _shifted(thumbs[i], middle)]
    if moved:
        yield Finding(
            "misplaced",
            "warning",
            f"parts lie at the same place in most images (correlation {usual:.2f}), but {len(moved)} are "
            "shifted, turned or mirrored",
            "the model learns that a part may lie anywhere, and misses parts that really lie wrong; where "
            "they cannot lie so on the line, they only raise the threshold",
            "take them out, or align all images",
            material.names(material.looked_at[moved]),
            len(moved),
        )


def _shifted(thumb: NDArray[np.float32], middle: NDArray[np.float32]) -> bool:
    """Whether moving, turning or mirroring the picture explains most of what sets it apart."""
    middle = _standard(middle)
    as_it_is = float((_standard(thumb) * middle).mean())
    best = as_it_is
    for turned in _poses(thumb):
        product = np.fft.ifft2(np.fft.fft2(_standard(turned)).conj() * np.fft.fft2(middle)).real / middle.size
        best = max(best, float(product.max()))
    return 1 - best < (1 - _EXPLAINED) * (1 - as_it_is)


def _standard(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray((plane - plane.mean()) / (plane.std() + 1e-9))


def _poses(thumb: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    for mirrored in (thumb, thumb[:, ::-1]):
        for k in range(4):
            yield np.rot90(mirrored, k)
