"""VICReg: a term each for variance, invariance and covariance (Bardes et al. 2022, arXiv:2105.04906)."""

import torch
from pydantic import Field
from torch import Tensor

from onlygood.pretrain.losses.measures import spread
from onlygood.pretrain.losses.redundancy import vicreg_terms
from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.networks.projectors import mlp
from onlygood.pretrain.tasks.base import Task, TaskOutput
from onlygood.pretrain.views.presets import crop_and_color
from onlygood.pretrain.views.views import Standardize, Views, random_view
from onlygood.runtime.strict import Strict


class VICRegConfig(Strict):
    """The paper's weights; its expander is 8192 wide.

    ``scale`` multiplies the whole loss. The paper's optimizer (LARS) does not depend on it; SGD diverges
    without it.
    """

    views: Views = Field(default_factory=crop_and_color)
    projection: int = Field(default=1024, ge=2)
    invariance: float = Field(default=25.0, ge=0)
    variance: float = Field(default=25.0, ge=0)
    covariance: float = Field(default=1.0, ge=0)
    scale: float = Field(default=0.04, gt=0)


class VICRegTask(Task):
    """Views of an image agree, every dimension varies over the batch, and no two vary together."""

    config: VICRegConfig

    def __init__(self, encoder: Encoder, config: VICRegConfig, standardize: Standardize = "fixed") -> None:
        super().__init__(encoder, config, standardize)
        width = config.projection
        self.expander = mlp(encoder.dim, width, width, width, bias_last=False)

    def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> TaskOutput:
        """``scale`` times the weighted sum of the three terms, which are metrics too."""
        views = [random_view(images, self.standardize, self.config.views, rng) for _ in range(2)]
        features = [self.encoder(view) for view in views]
        a, b = (self.expander(f) for f in features)
        terms = vicreg_terms(a, b)
        weights = (self.config.invariance, self.config.variance, self.config.covariance)
        weighted = [weight * term for weight, term in zip(weights, terms, strict=True)]
        loss = self.config.scale * torch.stack(weighted).sum()
        names = ("invariance", "variance", "covariance")
        metrics = {name: term.detach() for name, term in zip(names, terms, strict=True)}
        return TaskOutput(loss, {**metrics, "embedding_spread": spread(a)}, torch.cat(features).detach())
