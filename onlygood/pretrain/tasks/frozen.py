"""No pretext task: the encoder stays as it is, for weights that others have trained."""

import torch
from torch import Tensor

from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.tasks.base import Task, TaskOutput
from onlygood.pretrain.views.views import Standardize
from onlygood.runtime.strict import Strict


class FrozenConfig(Strict):
    """There is nothing to choose."""


class FrozenTask(Task):
    """An encoder and how images reach it; a training of it has 0 steps."""

    trains = False

    def __init__(self, encoder: Encoder, config: Strict, standardize: Standardize = "image") -> None:
        super().__init__(encoder, config, standardize)

    def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> TaskOutput:
        """There is none; `train` refuses the task before it asks."""
        raise NotImplementedError
