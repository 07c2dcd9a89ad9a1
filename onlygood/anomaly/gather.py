"""Outputs of many images, kept within a budget of bytes, for heads to be fitted on."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from onlygood.anomaly.branch import Branch
from onlygood.anomaly.detector import Detector
from onlygood.anomaly.heads.outputs import Kind, Outputs
from onlygood.pretrain.data.store import ImageStore
from onlygood.pretrain.progress import Bar

BUDGET = (
    1 << 30
)  # bytes of outputs that are kept, of all branches together; fitting needs about as much again
_REGIONS = 200_000  # of a branch, at most: more teach a head nothing, and take long
_IMAGES = 2_000  # of which some regions are kept rather than all regions of fewer images

Ids = NDArray[np.int64]


@dataclass
class _Kept:
    """What is kept of one branch: some regions of some images."""

    ids: Ids
    regions: int  # of each image
    like: Outputs  # of one image: its grid
    tensors: dict[Kind, Tensor] = field(default_factory=dict)
    filled: int = 0

    def add(self, outputs: Outputs, which: Tensor, rng: torch.Generator) -> None:
        """Keep the images ``which`` of a batch."""
        count = next(iter(outputs.tensors().values())).shape[1]
        chosen = None
        if self.regions < count:
            chosen = torch.rand(len(which), count, generator=rng).argsort(dim=1)[:, : self.regions]
        for name, value in outputs.tensors().items():
            part = value[which.to(value.device)].cpu()
            if chosen is not None:
                part = part[torch.arange(len(which))[:, None], chosen]
            if name not in self.tensors:
                self.tensors[name] = part.new_empty(len(self.ids), *part.shape[1:])
            self.tensors[name][self.filled : self.filled + len(which)] = part
        self.filled += len(which)

    def outputs(self) -> Outputs:
        return self.like.like(self.tensors)


@torch.no_grad()
def gather(
    detector: Detector,
    store: ImageStore,
    ids: Ids,
    *,
    budget: int = BUDGET,
    whole: bool = False,
    seed: int = 0,
    progress: bool = False,
) -> list[tuple[Ids, Outputs]]:
    """For each branch the images ``(n,)`` that were kept, and what its head reads of them, on the CPU.

    The images go through the encoder batch by batch. Where not all outputs fit into the budget, some regions
    of each image are drawn, or, for heads that tell places apart and with ``whole``, fewer images are kept.
    """
    device = next(detector.encoder.parameters()).device
    branches = detector.every_branch()
    sample = torch.from_numpy(store.batch(ids[:1])).permute(0, 3, 1, 2).to(device)
    x = detector.prepared(sample)
    examples = detector.outputs(x)
    wishes = [_wish(branch, example, len(ids)) for branch, example in zip(branches, examples, strict=True)]
    kept = [
        _plan(branch, example, ids, share, whole=whole)
        for branch, example, share in zip(branches, examples, shares(wishes, budget), strict=True)
    ]
    wanted = np.unique(np.concatenate([part.ids for part in kept]))
    rng = torch.Generator().manual_seed(seed)
    size = detector.batch_size()
    with Bar("fitting", len(wanted), shown=progress) as bar:
        for start, batch in batches(store, wanted, size, device):
            here = wanted[start : start + len(batch)]
            x = detector.prepared(batch)
            for outputs, part in zip(detector.outputs(x), kept, strict=True):
                which = torch.from_numpy(np.flatnonzero(np.isin(here, part.ids)))
                if len(which):
                    part.add(outputs, which, rng)
            bar.move(start + len(batch))
    return [(part.ids, part.outputs()) for part in kept]


def shares(wishes: list[int], budget: int) -> list[int]:
    """The budget among wishes: nobody gets more than it wishes, and what is left goes to the others."""
    given = [0] * len(wishes)
    left = budget
    for place, number in enumerate(sorted(range(len(wishes)), key=wishes.__getitem__)):
        given[number] = min(wishes[number], left // (len(wishes) - place))
        left -= given[number]
    return given


def _wish(branch: Branch, example: Outputs, images: int) -> int:
    """The bytes of everything that a branch would keep, from the outputs of one image."""
    size = _bytes(example)
    everything = images * size
    return everything if branch.head.places else min(everything, _REGIONS * size // branch.count)


def _bytes(outputs: Outputs) -> int:
    return sum(value.nbytes for value in outputs.tensors().values())


def _plan(branch: Branch, outputs: Outputs, ids: Ids, budget: int, *, whole: bool) -> _Kept:
    """Which images and how many regions of each, from the outputs of one image."""
    regions = branch.count
    size = _bytes(outputs)
    most = max(1, min(_REGIONS, budget * regions // max(1, size)))
    if branch.head.places:  # each place learns from as many regions as there are images
        return _Kept(np.sort(spread(ids, max(1, budget // max(1, size)))), regions, outputs)
    if whole:
        return _Kept(np.sort(spread(ids, max(1, most // regions))), regions, outputs)
    images = np.sort(spread(ids, min(most, max(_IMAGES, most // regions))))
    return _Kept(images, min(regions, max(1, most // len(images))), outputs)


def spread(ids: Ids, most: int) -> Ids:
    """At most ``most`` of ``ids`` ``(n,)``, at even distances."""
    return ids if len(ids) <= most else ids[np.linspace(0, len(ids) - 1, most).astype(np.int64)]


def batches(store: ImageStore, ids: Ids, size: int, device: torch.device) -> Iterator[tuple[int, Tensor]]:
    """Where each batch starts, and its images, uint8 ``(B, C, H, W)``."""
    for start in range(0, len(ids), size):
        images = torch.from_numpy(store.batch(ids[start : start + size]))
        yield start, images.permute(0, 3, 1, 2).to(device)
