"""Images that are given as good but perhaps are not: their scores are far outside those of the others."""

import os
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from onlygood.anomaly.branch import Branch
from onlygood.anomaly.heads.outputs import Outputs
from onlygood.runtime.images.files import display
from onlygood.runtime.model.metadata import Suspect
from onlygood.runtime.model.outliers import distances

MOST = 20  # suspects that are reported
_FEWEST = 5  # images in a half on which a head can be fitted


@dataclass(frozen=True)
class Judged:
    """Scores ``(n,)`` of the images ``ids`` ``(n,)`` by a head that was not fitted on them."""

    ids: NDArray[np.int64]
    scores: NDArray[np.float64]


@torch.no_grad()
def cross_fitted(branch: Branch, outputs: Outputs, ids: NDArray[np.int64], names: Sequence[str]) -> Judged:
    """Score training images ``ids`` ``(n,)``, each half by a head that is fitted on the other half.

    A head that was fitted on a bad image has learned that it is good. So has an encoder that was trained on
    it: of one frame of noise among 120 plates the classifier says "clean", and the recipe's heads together
    place it among the others. Therefore the encoder is shared by the halves, but an untrained one. It sees
    what is grossly different, not every small defect. Halves keep images of one name (a group or a content)
    together. Where one would be too small nobody is judged.
    """
    half = np.unique(np.asarray(names), return_inverse=True)[1] % 2
    parts = [torch.from_numpy(np.flatnonzero(half == side)) for side in (0, 1)]
    if min(map(len, parts)) < _FEWEST:
        return Judged(ids[:0], np.empty(0))
    scores = np.empty(len(ids))
    for ours, others in (parts, parts[::-1]):
        head = deepcopy(branch.head).fit(outputs.take(others))
        scores[ours.numpy()] = branch.pool(head(outputs.take(ours))).double().numpy()
    return Judged(ids, scores)


def find_suspects(
    train: Judged, calibration: Judged, paths: Sequence[Path], root: Path, *, dropped: bool = False
) -> list[Suspect]:
    """Suspects of both parts, the farthest first, with paths relative to ``root``.

    Each image is compared with those of its own part. ``dropped``: what `fit --drop-suspicious` did to them.
    """
    found: list[tuple[float, Suspect]] = []
    parts: list[tuple[Literal["train", "calibration"], Judged]] = [
        ("train", train),
        ("calibration", calibration),
    ]
    for part, judged in parts:
        far = distances(judged.scores)
        for i in np.flatnonzero(far > 1):
            path = Path(os.path.relpath(paths[judged.ids[i]], root)).as_posix()
            suspect = Suspect(path=display(path), part=part, score=float(judged.scores[i]), dropped=dropped)
            found.append((float(far[i]), suspect))
    found.sort(key=lambda pair: (-pair[0], pair[1].path))
    return [suspect for _, suspect in found[:MOST]]
