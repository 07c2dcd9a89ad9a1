"""Maps of logits against masks of pixels. Pure functions, float32 inside."""

from torch import Tensor
from torch.nn import functional


def shares(marked: Tensor, known: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """For each of the cells ``size`` of masks ``(N, H, W)``: the ``marked`` share of its known pixels.

    With it the known share of its pixels, the cell's weight; ``(N, h, w)`` each. ``marked`` and ``known`` are
    0 or 1, and what is marked is known.
    """
    marked, known = (
        functional.adaptive_avg_pool2d(mask[:, None].float(), size)[:, 0] for mask in (marked, known)
    )
    return marked / known.clamp(min=1e-6), known


def cell_cross_entropy(logits: Tensor, share: Tensor, weight: Tensor) -> Tensor:
    """Mean logistic cross entropy of cells ``(N, h, w)`` with the shares that are marked; 0-dim.

    To say the overall share everywhere costs its entropy, which is what tells nothing costs at least.
    """
    terms = functional.binary_cross_entropy_with_logits(logits.float(), share, reduction="none")
    return (terms * weight).sum() / weight.sum().clamp(min=1e-6)


def cell_iou(logits: Tensor, share: Tensor, weight: Tensor) -> Tensor:
    """Intersection over union of cells said and cells marked for the most part; 1 if there are none."""
    said, marked = logits.detach() > 0, share > 0.5
    both, either = ((mask * weight).sum() for mask in (said & marked, said | marked))
    return (both + 1e-6) / (either + 1e-6)
