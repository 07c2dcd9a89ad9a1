"""Which branches of a detector to keep: told by defects painted into good images; no label is needed."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from onlygood.anomaly.data.datasets import split_good
from onlygood.anomaly.detector import Detector
from onlygood.anomaly.gather import batches
from onlygood.anomaly.parts import Parts
from onlygood.anomaly.recipe import BranchConfig, ChooseConfig
from onlygood.pretrain.data.store import ImageStore
from onlygood.pretrain.views.defects import Mixture, paint
from onlygood.pretrain.views.views import uniform

_COPIES = 3  # of each image, with other defects
_FAINTEST = 0.3  # of a defect's full strength: what every branch sees tells none apart
_FEWEST = 5  # images that judge

Ids = NDArray[np.int64]


def set_aside(parts: Parts, share: float, seed: int) -> tuple[Ids, Ids]:
    """Of the training images, those to learn from and those that judge branches; parts stay together."""
    judges = max(_FEWEST, round(share * len(parts.train)))
    names = [parts.name_of[i] for i in parts.train.tolist()]
    learn, judge = split_good(names, [len(names) - judges, judges], seed)
    return parts.train[learn], parts.train[judge]


@torch.no_grad()
def powers(detector: Detector, store: ImageStore, ids: Ids, seed: int) -> list[float]:
    """How well each branch tells the images ``ids`` from copies with painted defects: areas under ROC curves.

    Other parts' variation counts against a branch, as it will when it is used.
    """
    rng = torch.Generator().manual_seed(seed)
    device = next(detector.encoder.parameters()).device
    clean: list[list[Tensor]] = [[] for _ in detector.branches]
    painted: list[list[Tensor]] = [[] for _ in detector.branches]
    for _, batch in batches(store, ids, detector.batch_size(), device):
        x = detector.prepared(batch)
        _collect(detector, x, clean)
        for _ in range(_COPIES):
            _collect(detector, faintly_spoiled(x.cpu(), rng).to(device), painted)
    return [area(torch.cat(good), torch.cat(bad)) for good, bad in zip(clean, painted, strict=True)]


def faintly_spoiled(x: Tensor, rng: torch.Generator) -> Tensor:
    """Standardized images with defects of any strength from faint to full."""
    strength = uniform((len(x), 1, 1, 1), _FAINTEST, 1, rng)
    return x + strength * (paint(x, Mixture(), rng) - x)


def area(good: Tensor, bad: Tensor) -> float:
    """The share of pairs ``(n,)`` × ``(m,)`` in which the bad one scores higher; ties count half."""
    higher = (bad[:, None] > good).double().mean() + 0.5 * (bad[:, None] == good).double().mean()
    return float(higher)


def kept(areas: Sequence[float], margin: float, scores: Sequence[bool]) -> list[int]:
    """Numbers of the branches that are no more than ``margin`` behind the best of those that score images.

    The others, which only show where defects are, are all kept.
    """
    least = max(area for area, counts in zip(areas, scores, strict=True) if counts) - margin
    return [
        number
        for number, (area, counts) in enumerate(zip(areas, scores, strict=True))
        if area >= least or not counts
    ]


def choose(
    config: ChooseConfig,
    detector: Detector,
    branches: Sequence[BranchConfig],
    store: ImageStore,
    judges: Ids,
    *,
    seed: int,
    say: Callable[[str], None],
) -> list[BranchConfig]:
    """The branches to keep, with the reason said in words."""
    areas = powers(detector, store, judges, seed)
    chosen = kept(areas, config.margin, [branch.scores for branch in detector.every_branch()])
    told = ", ".join(
        f"{_words(branch)} {found:.2f}{'' if number in chosen else ' (dropped)'}"
        for number, (branch, found) in enumerate(zip(branches, areas, strict=True))
    )
    say(f"painted defects in {len(judges)} good images set aside, told by each branch (AUROC): {told}")
    return [branches[number] for number in chosen]


def _words(branch: BranchConfig) -> str:
    """What tells one branch of a recipe from the others."""
    scale = f" at 1/{branch.shrink}" if branch.shrink > 1 else ""
    return f"{'+'.join(branch.head.names)}{scale}"


def _collect(detector: Detector, x: Tensor, found: list[list[Tensor]]) -> None:
    for branch, outputs, scores in zip(detector.every_branch(), detector.outputs(x), found, strict=True):
        scores.append(branch.pool(branch.head(outputs)).cpu())
