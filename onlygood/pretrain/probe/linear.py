"""Linear probe: one linear layer on every stage of a frozen encoder, all trained together in one pass."""

from collections.abc import Callable

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from onlygood.pretrain.probe.features import Pool, Setup, minibatches, read
from onlygood.pretrain.probe.result import Measurement, accuracy_row
from onlygood.pretrain.views.views import random_flip
from onlygood.runtime.strict import Strict


class LinearConfig(Strict):
    """The survey's protocol: SGD, batch 192, 0.01 divided by 10 at epochs 10 and 20 of 30.

    (Jing & Tian 2020, arXiv:1902.06162.) ``batchnorm`` puts a norm without weights before each layer: maps of
    different encoders differ in scale by orders of magnitude, and one learning rate has to fit them all.
    """

    pool: Pool = "max"
    dimensions: int = Field(default=9000, ge=1)  # of the pooled features, about
    batchnorm: bool = True
    epochs: int = Field(default=30, ge=1)
    batch_size: int = Field(default=192, ge=2)
    lr: float = Field(default=0.01, gt=0)
    drops: list[int] = Field(default=[10, 20])  # epochs after which the learning rate is divided by 10
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=5e-4, ge=0)
    flip: bool = False  # mirror images at random; then features cannot be kept and every epoch encodes anew
    cache_gb: float = Field(default=4.0, ge=0)  # features that take more are encoded anew in every epoch

    def lr_at(self, epoch: int) -> float:
        """Learning rate of an epoch, counted from 0."""
        return float(self.lr * 0.1 ** sum(epoch >= drop for drop in self.drops))


def linear(setup: Setup, config: LinearConfig) -> list[Measurement]:
    """Test accuracy of the last epoch, for every stage.

    The layers share the passes through the encoder, not their losses. They start at zero: the problem is
    convex, so a random start would only add noise.
    """
    train, device = setup.data.train, setup.encoder.device
    rng = torch.Generator().manual_seed(setup.seed)
    batch = _source(setup, config, rng)
    widths = [found.shape[1] for found in _test(setup, config, 0, 1)]
    layers = nn.ModuleList([_layer(width, len(setup.data.classes), config.batchnorm) for width in widths])
    layers.to(device)
    optimizer = torch.optim.SGD(
        layers.parameters(), config.lr, config.momentum, weight_decay=config.weight_decay
    )
    labels = torch.from_numpy(train.labels)
    losses = torch.zeros(len(layers))
    for epoch in range(config.epochs):
        for group in optimizer.param_groups:
            group["lr"] = config.lr_at(epoch)
        losses.zero_()
        for chosen in minibatches(len(train), config.batch_size, rng):
            target = labels[chosen].to(device)
            each = torch.stack(
                [
                    functional.cross_entropy(layer(found), target)
                    for layer, found in zip(layers, batch(chosen), strict=True)
                ]
            )
            optimizer.zero_grad()
            torch.autograd.backward(each.sum())
            optimizer.step()
            losses += each.detach().cpu() * len(chosen) / len(train)
        setup.say(f"epoch {epoch + 1} of {config.epochs}: loss {', '.join(f'{x:.3f}' for x in losses)}")
    correct = _evaluate(setup, config, layers.eval())
    return [
        accuracy_row(stage, right, len(setup.data.test), {"dimensions": width, "train_loss": loss})
        for stage, right, width, loss in zip(
            setup.encoder.stages, correct, widths, losses.tolist(), strict=True
        )
    ]


def _layer(width: int, classes: int, batchnorm: bool) -> nn.Sequential:
    layer = nn.Linear(width, classes)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return nn.Sequential(nn.BatchNorm1d(width, affine=False) if batchnorm else nn.Identity(), layer)


def _source(setup: Setup, config: LinearConfig, rng: torch.Generator) -> Callable[[Tensor], list[Tensor]]:
    """Features of training positions ``(B,)``, for each stage ``(B, D_i)``: kept, or encoded each time."""
    encoder, train, store = setup.encoder, setup.data.train, setup.data.store
    values = sum(found.shape[1] for found in _test(setup, config, 0, 1))
    if not config.flip and 4 * values * len(train) <= config.cache_gb * 1e9:
        setup.say(f"features of {len(train)} training images, {values} values each")
        kept = encoder.features(store, train.ids, config.pool, config.dimensions)
        return lambda chosen: [found[chosen].to(encoder.device) for found in kept]

    def encode(chosen: Tensor) -> list[Tensor]:
        images = read(store, train.ids[chosen.numpy()])
        images = random_flip(images, 3, rng) if config.flip else images
        return encoder.pooled(images, config.pool, config.dimensions)

    return encode


def _test(setup: Setup, config: LinearConfig, start: int, stop: int) -> list[Tensor]:
    images = read(setup.data.store, setup.data.test.ids[start:stop])
    return setup.encoder.pooled(images, config.pool, config.dimensions)


@torch.no_grad()
def _evaluate(setup: Setup, config: LinearConfig, layers: nn.ModuleList) -> list[int]:
    """Test images that each layer gets right."""
    labels = torch.from_numpy(setup.data.test.labels).to(setup.encoder.device)
    correct = [0] * len(layers)
    for start in range(0, len(labels), config.batch_size):
        found = _test(setup, config, start, start + config.batch_size)
        target = labels[start : start + config.batch_size]
        for index, layer in enumerate(layers):
            correct[index] += int((layer(found[index]).argmax(dim=1) == target).sum())
    return correct
