"""MoCo: pick the key of the same image among those of earlier batches.

(He et al. 2020, arXiv:1911.05722; version 2: Chen et al. 2020, arXiv:2003.04297.)
"""

from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from onlygood.pretrain.losses.contrastive import info_nce
from onlygood.pretrain.losses.measures import spread
from onlygood.pretrain.networks.bank import enqueue
from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.networks.ema import ema_copy, ema_update, groups, shuffled_keys
from onlygood.pretrain.networks.projectors import mlp
from onlygood.pretrain.tasks.base import Task, TaskOutput
from onlygood.pretrain.views.presets import crop_and_color
from onlygood.pretrain.views.views import Standardize, Views, random_view
from onlygood.runtime.strict import Strict


class MoCoConfig(Strict):
    """Version 1 has a linear projection and temperature .07, version 2 an MLP and .2.

    ``queue`` and ``momentum`` are for thousands of images; the papers' 65536 and .999 are for a million. A
    batch is normalized in ``splits`` parts (see ``MoCoTask``).
    """

    version: Literal[1, 2] = 2
    views: Views = Field(default_factory=crop_and_color)
    temperature: float = Field(default=0.2, gt=0)
    projection: int = Field(default=128, ge=2)
    queue: int = Field(default=1024, ge=1)
    momentum: float = Field(default=0.99, ge=0, le=1)
    splits: int = Field(default=4, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _temperature_of_version(cls, values: Any) -> Any:
        return {"temperature": 0.07, **values} if values.get("version") == 1 else values


class MoCoTask(Task):
    """Keys come from a slow copy of the network and are kept in a queue, so many negatives are cheap.

    Queries and keys are encoded in small groups, and the keys' groups are drawn anew, so that batch norm
    tells no query which key is its own.
    """

    config: MoCoConfig
    projector: nn.Module

    def __init__(self, encoder: Encoder, config: MoCoConfig, standardize: Standardize = "fixed") -> None:
        super().__init__(encoder, config, standardize)
        hidden = (encoder.dim,) * (config.version - 1)
        self.projector = mlp(encoder.dim, *hidden, config.projection, norm=False)
        self.target = ema_copy(nn.Sequential(encoder, self.projector))
        self.register_buffer("queue", torch.zeros(config.queue, config.projection))
        self.register_buffer("queue_ids", torch.full((config.queue,), -1))  # whose keys they are
        self.register_buffer("pointer", torch.zeros((), dtype=torch.long))  # keys written so far
        self.register_buffer("filled", torch.zeros((), dtype=torch.bool))
        self.queue: Tensor
        self.queue_ids: Tensor
        self.pointer: Tensor
        self.filled: Tensor

    def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> TaskOutput:
        """Cross entropy of each query's key against the queue; the image's own old keys do not count."""
        query, key = (random_view(images, self.standardize, self.config.views, rng) for _ in range(2))
        keys = shuffled_keys(self.target, key, self.config.splits, rng)
        features = torch.cat([self.encoder(group) for group in groups(query, self.config.splits)])
        queries = functional.normalize(self.projector(features).float(), dim=1)
        if not self.filled:  # random vectors would be too easy as negatives
            times = len(self.queue) // len(keys) + 1
            self._enqueue(keys.repeat(times, 1), ids.repeat(times))
            self.filled.fill_(value=True)
        same = ids[:, None] == self.queue_ids
        loss = info_nce(queries, keys, self.queue.clone(), self.config.temperature, same)
        self._enqueue(keys, ids)
        return TaskOutput(loss, {"embedding_spread": spread(queries)}, features.detach())

    def after_step(self, progress: float) -> None:
        """The network of the keys moves towards the trained one."""
        super().after_step(progress)
        ema_update(self.target, nn.Sequential(self.encoder, self.projector), self.config.momentum)

    def _enqueue(self, keys: Tensor, ids: Tensor) -> None:
        """Queue the keys; of more than the queue holds, the first are taken."""
        length = len(self.queue)
        enqueue(self.pointer, (self.queue, keys[:length]), (self.queue_ids, ids[:length]))
