"""A vision transformer in sizes for small images (Dosovitskiy et al. 2021, arXiv:2010.11929)."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from onlygood.pretrain.networks.base import Encoder

STAGES = 3


class TransformerBlock(nn.Module):
    """Attention and an MLP, each after a layer norm and around a shortcut."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        """Tokens ``(N, L, D)`` to ``(N, L, D)``."""
        n, length, dim = x.shape
        qkv = self.qkv(self.norm1(x)).reshape(n, length, 3, self.heads, dim // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(dim=0)
        seen = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, length, dim)
        x = x + self.out(seen)
        after: Tensor = x + self.mlp(self.norm2(x))
        return after


def sincos_positions(height: int, width: int, dim: int) -> Tensor:
    """Fixed positions ``(height · width, dim)``: sin and cos of row and of column, a quarter each."""
    rates = 1 / 10_000 ** (torch.arange(dim // 4) / (dim // 4))
    rows = torch.arange(height).repeat_interleave(width)[:, None] * rates
    columns = torch.arange(width).repeat(height)[:, None] * rates
    return torch.cat([rows.sin(), rows.cos(), columns.sin(), columns.cos()], dim=1)


class ViT(Encoder):
    """Patches as tokens with fixed positions, so that images of any size fit; no class token.

    Features are the mean token after the last norm. Pixels beyond the last whole patch are not seen.
    """

    def __init__(self, name: str, channels: int, *, patch: int, dim: int, depth: int, heads: int) -> None:
        blocks = [TransformerBlock(dim, heads) for _ in range(depth)]
        per_stage = math.ceil(depth / STAGES)
        stages: list[nn.Module] = [
            nn.Sequential(*blocks[start : start + per_stage]) for start in range(0, depth, per_stage)
        ]
        super().__init__(name, channels, stages, [dim] * len(stages), patch)
        self.embedding = nn.Conv2d(channels, dim, patch, patch)
        self.norm = nn.LayerNorm(dim)

    def tokens(self, x: Tensor) -> Tensor:
        """Patches of ``(N, C, H, W)`` with their positions, ``(N, L, D)``."""
        embedded = self.embedding(x)
        positions = sincos_positions(embedded.shape[2], embedded.shape[3], self.dim).to(embedded)
        with_positions: Tensor = embedded.flatten(2).transpose(1, 2) + positions
        return with_positions

    def attend(self, tokens: Tensor) -> list[Tensor]:
        """Tokens ``(N, L, D)`` after each stage; the last ones normalized."""
        found = []
        for block in self.blocks:
            tokens = block(tokens)
            found.append(tokens)
        return [*found[:-1], self.norm(found[-1])]

    def stages(self, x: Tensor) -> list[Tensor]:
        """Maps ``(N, D, H / patch, W / patch)`` after each stage."""
        grid = (x.shape[2] // self.stride, x.shape[3] // self.stride)
        found = self.attend(self.tokens(x))
        return [tokens.transpose(1, 2).reshape(len(x), self.dim, *grid) for tokens in found]

    def forward(self, x: Tensor) -> Tensor:
        """Features ``(N, D)``."""
        return self.attend(self.tokens(x))[-1].mean(dim=1)
