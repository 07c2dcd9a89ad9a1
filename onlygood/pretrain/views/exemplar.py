"""Seed patches of images, and the distortions that make a class of each (Exemplar, Dosovitskiy et al. 2014).

Color functions take float images ``(B, C, H, W)`` in [0, 1] of one or three channels. Everything is batched,
and each sample has parameters of its own.
"""

import math

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor
from torch.nn import functional

from onlygood.pretrain.views.views import uniform
from onlygood.runtime.strict import Strict

Factors = tuple[PositiveFloat, PositiveFloat]

_GRAY = 0.5 / 255  # chroma below this rounds to none; a power of it would make a color of nothing


class ExemplarViews(Strict):
    """The paper's distortions: factors and powers are log-uniform, the others uniform up to ± the value."""

    translation: float = Field(default=0.2, ge=0, le=1)  # of the patch's side, along both axes
    scale: Factors = (0.7, 1.4)
    rotation: float = Field(default=20.0, ge=0, le=180)  # degrees
    contrast: Factors = (0.5, 2.0)  # along each principal axis of the colors
    power: Factors = (0.25, 4.0)  # of saturation and value, each its own; likewise gain and shift
    gain: Factors = (0.7, 1.4)
    shift: float = Field(default=0.1, ge=0, le=1)
    hue: float = Field(default=0.1, ge=0, le=0.5)  # turns of the color circle


def gradient_energy(images: Tensor, side: int) -> Tensor:
    """Mean squared gradient of every square patch of ``images``, ``(B, H - side + 1, W - side + 1)``.

    A patch is named by its first pixel.
    """
    x = images.float()
    corner = x[:, :, :-1, :-1]
    squares = (x[:, :, 1:, :-1] - corner).square() + (x[:, :, :-1, 1:] - corner).square()
    energy = squares.sum(dim=1, keepdim=True)
    for kernel in ((side - 1, 1), (1, side - 1)):
        energy = functional.avg_pool2d(energy, kernel, stride=1)
    return energy[:, 0]


def choose_seeds(images: Tensor, side: int, draws: Tensor) -> Tensor:
    """First pixels ``(B, 2)``, row and column, of a patch of each of uint8 ``(B, C, H, W)``.

    The numbers ``draws`` ``(B,)`` in [0, 1) pick among all patches; the probability of a patch is
    proportional to its mean squared gradient. On flat images all are equally likely.
    """
    energy = gradient_energy(images, side)
    columns = energy.shape[2]
    heaps = (energy + 1e-4).flatten(1).cumsum(dim=1)
    index = torch.searchsorted(heaps, draws[:, None] * heaps[:, -1:], right=True)[:, 0]
    index = index.clamp(max=heaps.shape[1] - 1)
    return torch.stack([index // columns, index % columns], dim=1)


def cut_turned(x: Tensor, seeds: Tensor, side: int, *, shift: Tensor, scale: Tensor, angle: Tensor) -> Tensor:
    """Patches ``(B, C, side, side)`` of float ``(B, C, H, W)``, sampled once, bilinearly.

    The window has its first pixel at ``seeds`` ``(B, 2)``. It is turned about its middle by ``angle``
    ``(B,)`` in radians, made ``scale`` ``(B,)`` times as large, and moved by ``shift`` ``(B, 2)``, in sides.
    It shows what lies around the patch; beyond its border, the image is mirrored.
    """
    height, width = x.shape[2:]
    reach = (side - 1) / 2
    middle = seeds + reach + shift * side
    offsets = torch.arange(side, device=x.device) - reach
    row, column = offsets[None, :, None], offsets[None, None, :]
    cos, sin = ((scale * part).view(-1, 1, 1) for part in (angle.cos(), angle.sin()))
    rows = middle[:, 0].view(-1, 1, 1) + cos * row + sin * column
    columns = middle[:, 1].view(-1, 1, 1) + cos * column - sin * row
    grid = torch.stack([columns * 2 / (width - 1) - 1, rows * 2 / (height - 1) - 1], dim=3)
    return functional.grid_sample(x, grid, mode="bilinear", padding_mode="reflection", align_corners=True)


def scale_along_axes(x: Tensor, factors: Tensor) -> Tensor:
    """Multiply colors along the principal axes of all the batch's pixels by ``factors`` ``(B, C)``.

    The axes go through the mean color. (The paper's are those of all patches of the training set.)
    """
    pixels = x.transpose(0, 1).flatten(1)
    mean = pixels.mean(dim=1)
    centered = pixels - mean[:, None]
    axes = torch.linalg.eigh(centered @ centered.T / pixels.shape[1])[1]
    matrices = (axes * factors[:, None, :]) @ axes.T
    middle = mean.view(1, -1, 1, 1)
    return torch.einsum("bij,bjhw->bihw", matrices, x - middle) + middle


def rgb_to_hsv(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Hue in turns, saturation and value, each ``(B, H, W)`` in [0, 1]; the hue of gray is 0."""
    value, largest = x.max(dim=1)
    chroma = value - x.amin(dim=1)
    red, green, blue = x.unbind(dim=1)
    gaps = torch.stack([green - blue, blue - red, red - green], dim=1)
    gap = gaps.gather(1, largest[:, None])[:, 0] / chroma.clamp(min=1e-12)
    hue = ((gap + 2 * largest) / 6).remainder(1.0)
    return hue, chroma / value.clamp(min=1e-12), value


def hsv_to_rgb(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """The inverse of ``rgb_to_hsv``, ``(B, 3, H, W)``; hue may be any number of turns."""
    start = torch.tensor([5.0, 3.0, 1.0], device=hue.device).view(1, 3, 1, 1)
    place = (start + 6 * hue[:, None]).remainder(6.0)
    ramp = torch.minimum(place, 4 - place).clamp(0, 1)
    return value[:, None] * (1 - saturation[:, None] * ramp)


def bend(x: Tensor, views: ExemplarViews, rng: torch.Generator) -> Tensor:
    """One quantity ``(B, H, W)`` in [0, 1]: to a power, times a factor, plus a number; clipped to [0, 1]."""
    shape = (x.shape[0], 1, 1)
    power, gain = _factors(shape, views.power, rng), _factors(shape, views.gain, rng)
    return (x**power * gain + uniform(shape, -views.shift, views.shift, rng)).clamp(0, 1)


def distort_colors(x: Tensor, views: ExemplarViews, rng: torch.Generator) -> Tensor:
    """Both contrasts of the paper, and the hue. Gray pixels have no hue: they stay gray."""
    factors = _factors((x.shape[0], x.shape[1]), views.contrast, rng)
    x = scale_along_axes(x, factors).clamp(0, 1)
    if x.shape[1] == 1:
        return bend(x[:, 0], views, rng)[:, None]
    hue, saturation, value = rgb_to_hsv(x)
    bent = torch.where(saturation * value > _GRAY, bend(saturation, views, rng), 0.0)
    turn = uniform((x.shape[0], 1, 1), -views.hue, views.hue, rng)
    return hsv_to_rgb(hue + turn, bent, bend(value, views, rng))


@torch.no_grad()
def exemplar_view(
    images: Tensor, seeds: Tensor, side: int, views: ExemplarViews, rng: torch.Generator
) -> Tensor:
    """A distorted sample, uint8 ``(B, C, side, side)``, of each uint8 image's patch at ``seeds``.

    ``seeds`` ``(B, 2)`` are the patches' first pixels.
    """
    batch = images.shape[0]
    turn = math.radians(views.rotation)
    with torch.autocast(images.device.type, enabled=False):
        x = cut_turned(
            images.float() / 255,
            seeds,
            side,
            shift=uniform((batch, 2), -views.translation, views.translation, rng),
            scale=_factors((batch,), views.scale, rng),
            angle=uniform((batch,), -turn, turn, rng),
        )
        return (distort_colors(x, views, rng) * 255).round().to(torch.uint8)


def _factors(shape: tuple[int, ...], bounds: Factors, rng: torch.Generator) -> Tensor:
    """Log-uniform draws."""
    return uniform(shape, math.log(bounds[0]), math.log(bounds[1]), rng).exp()
