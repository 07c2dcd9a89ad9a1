"""MoCo: pick the key of the same image among those of earlier batches (He et al. 2020, Chen et al. 2020)."""

from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from onlygood.pretrain.losses.contrastive import info_nce
from onlygood.pretrain.losses.measures import spread
from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.networks.ema import follow, follower
from onlygood.pretrain.networks.projectors import mlp
from onlygood.pretrain.tasks.base import Output, Task
from onlygood.pretrain.views.presets import crop_and_colour
from onlygood.pretrain.views.views import Standardize, Views, random_view
from onlygood.runtime.strict import Strict


class MoCoConfig(Strict):
    """Version 1 has a linear projection and temperature .07, version 2 an MLP and .2.

    ``queue`` and ``momentum`` are for thousands of images; the papers' 65536 and .999 are for a million.
    ``splits`` parts of a batch are normalised apart (see ``MoCoTask``).
    """

    version: Literal[1, 2] = 2
    views: Views = Field(default_factory=crop_and_colour)
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
    """Keys come from a slow copy of the network and are kept in a queue, which makes many negatives cheap.

    Within a batch norm, a query could know its key by the statistics of their common batch. So both are
    encoded in small groups, and the keys' groups are drawn anew: the papers' shuffled devices, on one device.
    """

    config: MoCoConfig

    def __init__(self, encoder: Encoder, config: MoCoConfig, standardize: Standardize = "fixed") -> None:
        super().__init__(encoder, config, standardize)
        hidden = (encoder.dim,) * (config.version - 1)
        self.projector = mlp(encoder.dim, *hidden, config.projection, norm=False)
        self.target = follower(nn.Sequential(encoder, self.projector))
        self.register_buffer("queue", torch.zeros(config.queue, config.projection))
        self.register_buffer("queue_ids", torch.full((config.queue,), -1))  # whose keys they are
        self.register_buffer("pointer", torch.zeros((), dtype=torch.long))
        self.register_buffer("filled", torch.zeros((), dtype=torch.bool))
        self.queue: Tensor
        self.queue_ids: Tensor
        self.pointer: Tensor
        self.filled: Tensor

    def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> Output:
        """Cross entropy of each query's key against the queue; the image's own old keys do not count."""
        query, key = (random_view(images, self.standardize, self.config.views, rng) for _ in range(2))
        keys = self._keys(key, rng)
        features = torch.cat([self.encoder(group) for group in query.tensor_split(self._groups(query))])
        queries = functional.normalize(self.projector(features).float(), dim=1)
        if not self.filled:  # not with random vectors, which are no hard negatives
            self._enqueue(keys.repeat(len(self.queue) // len(keys) + 1, 1), ids)
        same = ids[:, None] == self.queue_ids
        loss = info_nce(queries, keys, self.queue.clone(), self.config.temperature, same)
        self._enqueue(keys, ids)
        return Output(loss, {"embedding_spread": spread(queries)}, features.detach())

    def after_step(self, progress: float) -> None:
        """The key encoder follows."""
        super().after_step(progress)
        follow(self.target, nn.Sequential(self.encoder, self.projector), self.config.momentum)

    def _groups(self, x: Tensor) -> int:
        return max(1, min(self.config.splits, len(x) // 4))

    @torch.no_grad()
    def _keys(self, x: Tensor, rng: torch.Generator) -> Tensor:
        """Normalised keys (B, D), encoded in shuffled groups and put back in order."""
        order = torch.randperm(len(x), generator=rng, device=x.device)
        keys = torch.cat([self.target(group) for group in x[order].tensor_split(self._groups(x))])
        return functional.normalize(keys.float(), dim=1)[order.argsort()]

    @torch.no_grad()
    def _enqueue(self, keys: Tensor, ids: Tensor) -> None:
        """Overwrite the oldest keys."""
        count = min(len(keys), len(self.queue))
        slots = (self.pointer + torch.arange(count, device=keys.device)) % len(self.queue)
        self.queue[slots] = keys[:count]
        self.queue_ids[slots] = ids.repeat(count // len(ids) + 1)[:count]
        self.pointer.copy_((self.pointer + count) % len(self.queue))
        self.filled.fill_(value=True)
