"""Backbones: functions of the number of channels. ``registry.py`` has their names."""

from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from onlygood.pretrain.networks.base import BasicBlock, Encoder, PreActivationBlock
from onlygood.pretrain.networks.published import RESNET, mobilenet
from onlygood.pretrain.networks.vit import ViT


def small(channels: int) -> Encoder:
    """About a million parameters, stride 16: for CPUs and for tiles of 32 to 96 px."""
    dims = [32, 64, 128, 256]
    stem = nn.Sequential(
        nn.Conv2d(channels, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU(inplace=True)
    )
    later = [BasicBlock(inputs, outputs, 2) for inputs, outputs in pairwise(dims)]
    return Encoder("small", channels, [stem, *later], dims, 16)


def small_32(channels: int) -> Encoder:
    """A third of a million parameters, stride 8: `small` for 32 px, at the same cost of a view.

    It keeps the resolution where `small` is wide, and ends with maps of 4×4, not 2×2.
    """
    dims = [16, 32, 64, 128]
    stem = nn.Sequential(
        nn.Conv2d(channels, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True)
    )
    later = [BasicBlock(inputs, outputs, 2) for inputs, outputs in pairwise(dims)]
    return Encoder("small-32", channels, [stem, *later], dims, 8)


def resnet(name: str, channels: int, widths: list[int], net: Any, *, small_stem: bool = False) -> Encoder:
    """A ResNet of torchvision; the small stem is 3×3 without pooling, as used at 32 px."""
    width = net.bn1.num_features
    if small_stem:
        stem = nn.Sequential(nn.Conv2d(channels, width, 3, 1, 1, bias=False), net.bn1, net.relu)
    else:
        first = nn.Conv2d(channels, width, 7, 2, 3, bias=False)
        stem = nn.Sequential(first, net.bn1, net.relu, net.maxpool)
    blocks = [nn.Sequential(stem, net.layer1), net.layer2, net.layer3, net.layer4]
    encoder = Encoder(name, channels, blocks, widths, 8 if small_stem else 32)
    encoder.published = RESNET
    return encoder


def resnet18_small_stem(channels: int) -> Encoder:
    """ResNet-18 for 32 to 64 px images."""
    from torchvision.models import resnet18 as build  # noqa: PLC0415

    return resnet("resnet18-32", channels, [64, 128, 256, 512], build(weights=None), small_stem=True)


def resnet18(channels: int) -> Encoder:
    """ResNet-18 for 96 px and more."""
    from torchvision.models import resnet18 as build  # noqa: PLC0415

    return resnet("resnet18", channels, [64, 128, 256, 512], build(weights=None))


def resnet50(channels: int) -> Encoder:
    """ResNet-50 of torchvision."""
    from torchvision.models import resnet50 as build  # noqa: PLC0415

    return resnet("resnet50", channels, [256, 512, 1024, 2048], build(weights=None))


def wide_resnet50(channels: int) -> Encoder:
    """WRN-50-2 of torchvision, which PatchCore and PaDiM are published with."""
    from torchvision.models import wide_resnet50_2 as build  # noqa: PLC0415

    return resnet("wide-resnet50", channels, [256, 512, 1024, 2048], build(weights=None))


def wide_resnet(channels: int) -> Encoder:
    """WRN-16-4 for 32 px images: pre-activation, widths 64, 128, 256."""
    dims = [64, 128, 256]
    layers: list[list[nn.Module]] = []
    inputs = 16
    for index, outputs in enumerate(dims):
        first = PreActivationBlock(inputs, outputs, 1 if index == 0 else 2)
        layers.append([first, PreActivationBlock(outputs, outputs, 1)])
        inputs = outputs
    layers[0].insert(0, nn.Conv2d(channels, 16, 3, 1, 1, bias=False))
    layers[-1] += [nn.BatchNorm2d(dims[-1]), nn.ReLU(inplace=True)]
    return Encoder("wrn16-4", channels, [nn.Sequential(*stage) for stage in layers], dims, 4)


def mobilenet_v3(channels: int) -> Encoder:
    """MobileNet-V3 small of torchvision, cut where its resolution halves."""
    from torchvision.models import mobilenet_v3_small  # noqa: PLC0415

    layers = list(mobilenet_v3_small(weights=None).features)
    layers[0][0] = nn.Conv2d(channels, 16, 3, 2, 1, bias=False)
    cuts = [(0, 2), (2, 4), (4, 9), (9, 13)]
    stages: list[nn.Module] = [nn.Sequential(*layers[a:b]) for a, b in cuts]
    encoder = Encoder("mobilenet-v3", channels, stages, [16, 24, 48, 576], 32)
    encoder.published = (mobilenet(cuts),)
    return encoder


class LeNetHead(nn.Module):
    """Pools to 4×4 and projects to ``(N, 128, 1, 1)`` without bias, as Deep SVDD's networks end."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.project = nn.Linear(inputs * 16, outputs, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, 4k, 4k')`` to ``(N, 128, 1, 1)``."""
        projected: Tensor = self.project(nn.functional.adaptive_avg_pool2d(x, 4).flatten(1))
        return projected[:, :, None, None]


def lenet(channels: int) -> Encoder:
    """The network of Deep SVDD, without biases and affine norms (Ruff et al. 2018).

    It has no biases, no affine norms and no bounded activations: each of them would let the network map
    everything to the center without looking at the image.
    """
    blocks: list[nn.Module] = []
    inputs = channels
    for outputs in (32, 64, 128):
        blocks.append(
            nn.Sequential(
                nn.Conv2d(inputs, outputs, 5, 1, 2, bias=False),
                nn.BatchNorm2d(outputs, eps=1e-4, affine=False),
                nn.LeakyReLU(inplace=True),
                nn.MaxPool2d(2),
            )
        )
        inputs = outputs
    blocks.append(LeNetHead(128, 128))
    return Encoder("lenet", channels, blocks, [32, 64, 128, 128], 0)


def _vit_tiny(channels: int, patch: int) -> Encoder:
    """2.7 million parameters."""
    return ViT(f"vit-tiny-{patch}", channels, patch=patch, dim=192, depth=6, heads=3)


def vit_tiny_4(channels: int) -> Encoder:
    """A small vision transformer for 32 px images."""
    return _vit_tiny(channels, 4)


def vit_tiny_8(channels: int) -> Encoder:
    """The same for 64 px and more."""
    return _vit_tiny(channels, 8)
