"""Memories of embeddings: of every image, or of the last batches."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class MemoryBank(nn.Module):
    """``rows`` ``(n, D)`` of length 1; row i is image i. At first they are random."""

    def __init__(self, images: int, dim: int, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("rows", functional.normalize(torch.randn(images, dim), dim=1))
        self.rows: Tensor

    @torch.no_grad()
    def update(self, ids: Tensor, embeddings: Tensor) -> None:
        """Move the rows ``ids`` towards normalized ``embeddings`` ``(B, D)``."""
        mixed = self.momentum * self.rows[ids] + (1 - self.momentum) * embeddings.float()
        self.rows[ids] = functional.normalize(mixed, dim=1)


@torch.no_grad()
def enqueue(written: Tensor, *queues: tuple[Tensor, Tensor]) -> None:
    """Write new rows over the oldest ones of a queue: first in, first out.

    Each of ``queues`` is a buffer ``(L, …)`` with its new rows ``(B, …)``; all are written in step. Of more
    than L new rows, the last L stay. ``written`` ``()`` counts all rows written so far; this call adds to it.
    """
    count = len(queues[0][1])
    for rows, new in queues:
        places = torch.arange(count, device=written.device)[-len(rows) :]
        rows[(written + places) % len(rows)] = new[-len(rows) :]
    written += count
