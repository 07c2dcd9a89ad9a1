"""Counting: counts of four quarters add up to that of the whole (Noroozi et al. 2017, arXiv:1708.06734)."""

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from onlygood.pretrain.losses.measures import spread
from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.networks.projectors import mlp
from onlygood.pretrain.tasks.base import Task, TaskOutput
from onlygood.pretrain.views.patches import square
from onlygood.pretrain.views.views import Standardize, Views, random_view
from onlygood.runtime.strict import Strict


def counting_loss(whole: Tensor, parts: Tensor, margin: float) -> Tensor:
    """Squared distance of counts ``whole`` ``(N, D)`` from the sums of ``parts`` ``(N, 4, D)``, and a hinge.

    The hinge keeps each sum a squared ``margin`` away from the counts of another image (the next one): counts
    of zero everywhere cost exactly the margin.
    """
    whole, total = whole.float(), parts.float().sum(dim=1)
    same = (whole - total).square().sum(dim=1)
    other = (whole.roll(1, 0) - total).square().sum(dim=1)
    return (same + functional.relu(margin - other)).mean()


def halve(x: Tensor, rng: torch.Generator) -> Tensor:
    """Half the side, ``(B, C, 2s, 2s)`` to ``(B, C, s, s)``; each image by a filter drawn at random.

    The filters are area, bilinear and bicubic. With only one, its traces would tell the whole from its
    quarters.
    """
    size = [side // 2 for side in x.shape[2:]]
    smooth = [functional.interpolate(x, size, mode=mode, antialias=True) for mode in ("bilinear", "bicubic")]
    ways = torch.stack([functional.avg_pool2d(x, 2), *smooth])
    chosen = torch.randint(len(ways), (x.shape[0],), generator=rng, device=rng.device)
    return ways[chosen, torch.arange(x.shape[0], device=x.device)]


class CountingConfig(Strict):
    """Views, the number of things counted, and the margin between images."""

    views: Views = Field(default_factory=lambda: Views(gray=0.67))
    counts: int = Field(default=256, ge=2)
    hidden: int = Field(default=512, ge=2)
    margin: float = Field(default=10.0, gt=0)
    scale: float = Field(default=0.04, gt=0)  # of the loss; at 1, lr 0.05 drives the counts to 0


class CountingTask(Task):
    """An image at half size and its four quarters at full size, so that all five have the same side."""

    config: CountingConfig

    def __init__(self, encoder: Encoder, config: CountingConfig, standardize: Standardize = "fixed") -> None:
        super().__init__(encoder, config, standardize)
        layers = mlp(encoder.dim, config.hidden, config.counts, norm=False)
        self.counter = layers.append(nn.ReLU(inplace=True))

    def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> TaskOutput:
        """The counting loss, scaled; ``embedding_spread`` is that of the counts of whole images."""
        x = square(random_view(images, self.standardize, self.config.views, rng), rng)
        half = x.shape[2] // 2
        x = x[:, :, : 2 * half, : 2 * half]
        quarters = x.unfold(2, half, half).unfold(3, half, half).flatten(2, 3).transpose(1, 2)
        seen = torch.cat([halve(x, rng), quarters.flatten(0, 1)])
        features = self.encoder(seen)
        counts = self.counter(features)
        whole, parts = counts[: len(x)], counts[len(x) :].unflatten(0, (len(x), 4))
        loss = self.config.scale * counting_loss(whole, parts, self.config.margin)
        return TaskOutput(loss, {"embedding_spread": spread(whole)}, features.detach())
