"""Random views of the turned copies of images."""

import torch
from torch import Tensor

from onlygood.pretrain.views.patches import square
from onlygood.pretrain.views.views import Standardize, Views, random_view


def turned_copies(images: Tensor, standardize: Standardize, views: Views, rng: torch.Generator) -> Tensor:
    """Four square views of each uint8 image ``(B, C, H, W)``; ``(4 B, C, S, S)``, those of one turn together.

    The k-th quarter, from 0, is turned k times. Views are drawn before they are turned: a flip that follows
    would make one quarter turn look like the opposite one.
    """
    x = square(random_view(images.repeat(4, 1, 1, 1), standardize, views, rng), rng)
    return torch.cat([quarter.rot90(k, dims=(2, 3)) for k, quarter in enumerate(x.chunk(4))])
