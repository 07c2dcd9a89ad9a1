"""A feature pyramid: what an encoder's stages say together, at the resolution of the finest of them."""

from torch import Tensor, nn
from torch.nn import functional


class Pyramid(nn.Module):
    """Maps of stages, finest first, to ``outputs`` values at each place of the finest.

    After Lin et al. 2017 (arXiv:1612.03144): each map is brought to ``width`` channels, and coarser ones are
    enlarged and added from the top down. Then one 3×3 convolution mixes neighbors.
    """

    def __init__(self, dims: list[int], outputs: int, width: int = 64) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(dim, width, 1) for dim in dims)
        self.mix = nn.Sequential(
            nn.Conv2d(width, width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, outputs, 1),
        )

    def forward(self, maps: list[Tensor]) -> Tensor:
        """``(N, D_i, H_i, W_i)``, finest first, to ``(N, outputs, H_0, W_0)``."""
        (lateral, coarsest), *finer = list(zip(self.lateral, maps, strict=True))[::-1]
        joined: Tensor = lateral(coarsest)
        for lateral, stage in finer:
            joined = functional.interpolate(
                joined, size=stage.shape[2:], mode="bilinear", align_corners=False
            )
            joined = joined + lateral(stage)
        found: Tensor = self.mix(joined)
        return found
