"""SwAV: crops of one image predict each other's cluster assignments (Caron et al. 2020, arXiv:2006.09882)."""

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from onlygood.pretrain.losses.clustering import sinkhorn, swapped_prediction
from onlygood.pretrain.losses.measures import cosines, spread
from onlygood.pretrain.networks.bank import enqueue
from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.networks.projectors import mlp
from onlygood.pretrain.tasks.base import Task, TaskOutput
from onlygood.pretrain.views.presets import crop_and_color
from onlygood.pretrain.views.views import Standardize, Views, random_view
from onlygood.runtime.strict import Strict


class SwAVConfig(Strict):
    """Two global crops by ``views``, and small crops that cover less and have fewer pixels.

    ``queue`` is how many embeddings of earlier batches join the assignment, 0 for none. It pays where a batch
    has fewer images than there are prototypes. It fills from ``queue_start`` on, a share of training.
    """

    views: Views = Field(default_factory=lambda: crop_and_color().model_copy(update={"scale": (0.14, 1.0)}))
    small_crops: int = Field(default=4, ge=0)
    small_scale: tuple[float, float] = (0.05, 0.14)  # share of the area
    small_size: float = Field(default=0.5, gt=0, le=1)  # side, as a share of the global crops' side
    prototypes: int = Field(default=256, ge=2)
    projection: int = Field(default=128, ge=2)
    temperature: float = Field(default=0.1, gt=0)
    epsilon: float = Field(default=0.05, gt=0)
    iterations: int = Field(default=3, ge=1)
    queue: int = Field(default=1024, ge=0)
    queue_start: float = Field(default=0.05, ge=0, le=1)


class SwAVTask(Task):
    """Swapped prediction of Sinkhorn codes, which share the prototypes equally among the images.

    So a constant embedding gains nothing: its codes are uniform and its loss is log K.
    """

    config: SwAVConfig
    projector: nn.Module
    queue: Tensor
    queued: Tensor

    def __init__(self, encoder: Encoder, config: SwAVConfig, standardize: Standardize = "fixed") -> None:
        super().__init__(encoder, config, standardize)
        self.projector = mlp(encoder.dim, encoder.dim, config.projection)
        directions = torch.randn(config.prototypes, config.projection)
        self.prototypes = nn.Parameter(functional.normalize(directions, dim=1))
        self.register_buffer("queue", torch.zeros(2, config.queue, config.projection))
        self.register_buffer("queued", torch.zeros((), dtype=torch.int64))

    def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> TaskOutput:
        """Cross entropy of all crops with the codes of the others among the global two."""
        config, batch = self.config, len(images)
        large = torch.cat([random_view(images, self.standardize, config.views, rng) for _ in range(2)])
        features = self.encoder(large)
        everything = features
        if config.small_crops:
            size = max(8, round(config.small_size * min(large.shape[2:])))
            kind = config.views.model_copy(update={"crop": None, "size": size, "scale": config.small_scale})
            crops = [random_view(images, self.standardize, kind, rng) for _ in range(config.small_crops)]
            everything = torch.cat([features, self.encoder(torch.cat(crops))])
        z = functional.normalize(self.projector(everything).float(), dim=1)
        scores = cosines(z, self.prototypes).view(-1, batch, config.prototypes)
        with torch.no_grad():
            codes = self._codes(z[: 2 * batch].view(2, batch, -1), scores[:2])
        loss = swapped_prediction(scores, codes, config.temperature)
        return TaskOutput(loss, {"embedding_spread": spread(z[: 2 * batch])}, features.detach())

    def _codes(self, z: Tensor, scores: Tensor) -> Tensor:
        """Soft assignments ``(2, B, K)`` of both global crops' embeddings ``(2, B, D)``; these are queued."""
        batch, length = z.shape[1], self.config.queue
        if length and self.queued >= length:
            scores = torch.cat([cosines(self.queue, self.prototypes), scores], dim=1)
        codes = [sinkhorn(each, self.config.epsilon, self.config.iterations)[-batch:] for each in scores]
        if length and self.progress >= self.config.queue_start:  # early embeddings change too fast to keep
            enqueue(self.queued, (self.queue.transpose(0, 1), z[:, -length:].transpose(0, 1)))
        return torch.stack(codes)
