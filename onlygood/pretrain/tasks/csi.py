"""CSI: turned copies are other images for the contrast, and which turn it was is asked too.

(Contrasting shifted instances, Tack et al. 2020, arXiv:2007.08176.)
"""

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from onlygood.pretrain.losses.contrastive import nt_xent
from onlygood.pretrain.losses.measures import accuracy, spread
from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.networks.projectors import mlp
from onlygood.pretrain.tasks.base import Task, TaskOutput
from onlygood.pretrain.views.fixed import turned_views
from onlygood.pretrain.views.presets import crop_and_color
from onlygood.pretrain.views.turned import turned_copies
from onlygood.pretrain.views.views import Standardize, Views
from onlygood.runtime.strict import Strict


class CSIConfig(Strict):
    """Views, drawn before the turns; temperature, and width of the projection."""

    views: Views = Field(default_factory=lambda: crop_and_color(smallest=0.08))
    temperature: float = Field(default=0.5, gt=0)
    projection: int = Field(default=128, ge=2)


class CSITask(Task):
    """NT-Xent in which only a view of the same image and turn attracts, and a classifier of the turns."""

    config: CSIConfig
    classes = 4
    view_classifier: nn.Module
    projector: nn.Module

    def __init__(self, encoder: Encoder, config: CSIConfig, standardize: Standardize = "fixed") -> None:
        super().__init__(encoder, config, standardize)
        self.test_views = turned_views()
        self.view_classifier = nn.Linear(encoder.dim, 4)
        self.projector = mlp(encoder.dim, encoder.dim, config.projection, norm=False)

    def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> TaskOutput:
        """NT-Xent of ``8 B`` views, plus the cross entropy of their turns."""
        views = [turned_copies(images, self.standardize, self.config.views, rng) for _ in range(2)]
        features = self.encoder(torch.cat(views))
        embeddings, logits = self.projector(features), self.view_classifier(features)
        first, second = embeddings.chunk(2)
        contrast = nt_xent(first, second, self.config.temperature)
        labels = torch.arange(4, device=logits.device).repeat_interleave(len(images)).repeat(2)
        cross_entropy = functional.cross_entropy(logits.float(), labels)
        metrics = {
            "contrast": contrast.detach(),
            "cross_entropy": cross_entropy.detach(),
            "accuracy": accuracy(logits, labels),
            "embedding_spread": spread(embeddings),
        }
        return TaskOutput(contrast + cross_entropy, metrics, features.detach())
