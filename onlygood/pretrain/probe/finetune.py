"""Fine-tuning: the whole network trained on labels, its learning rate chosen without the test images."""

import copy
import math

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from onlygood.pretrain.data.labels import LabeledPart
from onlygood.pretrain.probe.features import Setup, minibatches, read
from onlygood.pretrain.probe.result import Measurement, accuracy_row
from onlygood.pretrain.views.geometry import reflect
from onlygood.pretrain.views.views import random_flip, to_float
from onlygood.runtime.strict import Strict


class FinetuneConfig(Strict):
    """SGD with Nesterov momentum and a half cosine down to 0; a smaller learning rate for the encoder."""

    lr: list[float] = Field(default=[0.01, 0.03, 0.1, 0.3], min_length=1)  # of the new layer
    backbone: float = Field(default=0.1, ge=0)  # the encoder's learning rate, as a share of the new layer's
    epochs: int = Field(default=30, ge=1)
    batch_size: int = Field(default=128, ge=2)
    momentum: float = Field(default=0.9, gt=0, lt=1)
    weight_decay: float = Field(default=5e-4, ge=0)
    flip: bool = True
    shift: float = Field(default=0.125, ge=0, lt=1)  # of the shorter side, at most; borders are mirrored
    validation: float = Field(default=0.2, gt=0, lt=1)  # share of the training images


def finetune(setup: Setup, config: FinetuneConfig) -> list[Measurement]:
    """Test accuracy after the last epoch, on all training images, with the learning rate chosen.

    The given encoder stays as it is: copies are trained.
    """
    data, tried = setup.data, []
    best = config.lr[0]
    if len(config.lr) > 1:
        inner, held = data.train.held_out(config.validation, setup.seed)
        for lr in sorted(config.lr):
            network, _ = _train(setup, config, inner, lr)
            tried.append((lr, _correct(setup, config, network, held) / len(held)))
            setup.say(f"learning rate {lr:g}: {tried[-1][1]:.3f} on the validation part")
        best = max(tried, key=lambda pair: pair[1])[0]
    network, loss = _train(setup, config, data.train, best)
    correct = _correct(setup, config, network, data.test)
    details = {"lr": best, "validation": tried, "train_loss": loss}
    return [accuracy_row(None, correct, len(data.test), details)]


def _train(setup: Setup, config: FinetuneConfig, part: LabeledPart, lr: float) -> tuple[nn.Sequential, float]:
    """A trained copy with a layer on top, and the mean loss of its last epoch."""
    frozen, data = setup.encoder, setup.data
    encoder = copy.deepcopy(frozen.encoder).requires_grad_(True)
    layer = nn.Linear(encoder.dim, len(data.classes))
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    network = nn.Sequential(encoder, layer).to(frozen.device).train()
    groups = [
        {"params": encoder.parameters(), "share": config.backbone},
        {"params": layer.parameters(), "share": 1.0},
    ]
    optimizer = torch.optim.SGD(groups, lr, config.momentum, weight_decay=config.weight_decay, nesterov=True)
    rng = torch.Generator().manual_seed(setup.seed)
    labels = torch.from_numpy(part.labels)
    steps, total, loss = config.epochs * math.ceil(len(part) / config.batch_size), 0, 0.0
    for _ in range(config.epochs):
        loss = 0.0
        for chosen in minibatches(len(part), config.batch_size, rng):
            for group in optimizer.param_groups:
                group["lr"] = group["share"] * lr * 0.5 * (1 + math.cos(math.pi * total / steps))
            images = read(data.store, part.ids[chosen.numpy()])
            images = random_flip(images, 3, rng) if config.flip else images
            images = random_shift(images, round(config.shift * min(images.shape[2:])), rng)
            x = to_float(images.to(frozen.device), frozen.standardize)
            each = functional.cross_entropy(network(x), labels[chosen].to(frozen.device))
            optimizer.zero_grad()
            torch.autograd.backward(each)
            optimizer.step()
            loss += each.item() * len(chosen) / len(part)
            total += 1
    return network, loss


def random_shift(images: Tensor, most: int, rng: torch.Generator) -> Tensor:
    """Each image ``(N, C, H, W)`` moved by up to ``most`` px both ways; the border is mirrored."""
    batch, _, height, width = images.shape
    shift = torch.randint(-most, most + 1, (2, batch, 1), generator=rng)
    rows = reflect(torch.arange(height) + shift[0], height - 1)[:, :, None]
    columns = reflect(torch.arange(width) + shift[1], width - 1)[:, None, :]
    which = torch.arange(batch)[:, None, None]
    return images[which, :, rows, columns].permute(0, 3, 1, 2)


@torch.no_grad()
def _correct(setup: Setup, config: FinetuneConfig, network: nn.Sequential, part: LabeledPart) -> int:
    """Images that the network gets right, in evaluation mode."""
    network.eval()
    frozen, correct = setup.encoder, 0
    labels = torch.from_numpy(part.labels)
    for chosen in torch.split(torch.arange(len(part)), config.batch_size):
        x = to_float(read(setup.data.store, part.ids[chosen.numpy()]).to(frozen.device), frozen.standardize)
        correct += int((network(x).argmax(dim=1).cpu() == labels[chosen]).sum())
    return correct
