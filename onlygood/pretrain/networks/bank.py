"""Memories of embeddings."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class MemoryBank(nn.Module):
    """``rows`` (n, D) of length 1, at first random; row i is image i."""

    def __init__(self, images: int, dim: int, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("rows", functional.normalize(torch.randn(images, dim), dim=1))
        self.rows: Tensor

    @torch.no_grad()
    def update(self, ids: Tensor, embeddings: Tensor) -> None:
        """Move the rows ``ids`` towards normalised ``embeddings`` (B, D)."""
        mixed = self.momentum * self.rows[ids] + (1 - self.momentum) * embeddings.float()
        self.rows[ids] = functional.normalize(mixed, dim=1)
