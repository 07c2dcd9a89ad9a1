"""Batched random views with per-sample parameters: no loop over images, all draws from explicit generators.

All functions take and return float images ``(B, C, H, W)`` unless they say otherwise, on any device.
"""

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from onlygood.deploy.runtime.strict import Strict

Standardize = Literal["image", "fixed"]

_TO_YIQ = torch.tensor([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
_LUMA = _TO_YIQ[0]


class Views(Strict):
    """One random view of an image: what is drawn, and how strongly.

    ``crop`` is the side of a square cut at native scale; without it, ``scale`` is the range of the area of a
    resized crop of side ``size``. Zero switches a step off.
    """

    crop: int | None = Field(default=None, ge=8)
    size: int | None = Field(default=None, ge=8)
    scale: tuple[float, float] = (1.0, 1.0)
    flip: bool = True  # left-right
    flip_vertical: bool = False
    brightness: float = Field(default=0.0, ge=0)  # added, in units of the image's own contrast
    contrast: float = Field(default=0.0, ge=0, lt=1)  # multiplied by 1 ± this
    saturation: float = Field(default=0.0, ge=0)
    hue: float = Field(default=0.0, ge=0, le=0.5)  # turns of the colour circle
    jitter_probability: float = Field(default=1.0, ge=0, le=1)
    gray: float = Field(default=0.0, ge=0, le=1)  # probability
    blur: float = Field(default=0.0, ge=0, le=1)  # probability


def uniform(shape: tuple[int, ...], low: float, high: float, rng: torch.Generator) -> Tensor:
    """Uniform draws in ``[low, high)`` on the generator's device."""
    return torch.rand(shape, generator=rng, device=rng.device) * (high - low) + low


def normal(shape: tuple[int, ...], mean: float, deviation: float, rng: torch.Generator) -> Tensor:
    """Normal draws on the generator's device."""
    return torch.randn(shape, generator=rng, device=rng.device) * deviation + mean


def to_float(images: Tensor, standardize: Standardize) -> Tensor:
    """uint8 ``(B, C, H, W)`` to float of about zero mean and unit deviation.

    "image" uses each image's own mean and deviation, over all its channels, plus 8 grey levels so that flat
    images do not explode: exposure drops out. "fixed" keeps absolute brightness: ``x / 63.75 - 2``.
    """
    shift, scale = _standardization(images, standardize)
    return (images.float() - shift) / scale


def _standardization(images: Tensor, standardize: Standardize) -> tuple[Tensor | float, Tensor | float]:
    """What to subtract, and then what to divide by.

    Deviations are norms because ``torch.var_mean`` takes 13 times longer on a CPU. Rows come first because
    onnxruntime adds float32 numbers one after another: over a whole image, that is off by 1e-4.
    """
    if standardize == "fixed":
        return 127.5, 63.75
    x = images.float()
    mean = x.mean(dim=3, keepdim=True).mean(dim=(1, 2), keepdim=True)
    x -= mean
    norm = torch.linalg.vector_norm(torch.linalg.vector_norm(x, dim=3), dim=(1, 2)).view(-1, 1, 1, 1)
    return mean, norm / math.sqrt(x[0].numel()) + 8.0


def random_crop(x: Tensor, size: int, rng: torch.Generator) -> Tensor:
    """Square windows ``(B, C, size, size)`` at native scale, each at its own place."""
    batch, _, height, width = x.shape
    top = torch.randint(0, height - size + 1, (batch,), generator=rng, device=x.device)
    left = torch.randint(0, width - size + 1, (batch,), generator=rng, device=x.device)
    offsets = torch.arange(size, device=x.device)
    rows = (top[:, None] + offsets)[:, :, None]
    columns = (left[:, None] + offsets)[:, None, :]
    which = torch.arange(batch, device=x.device)[:, None, None]
    return x[which, :, rows, columns].permute(0, 3, 1, 2)


def random_resized_crop(x: Tensor, size: int, scale: tuple[float, float], rng: torch.Generator) -> Tensor:
    """Windows of a random share of the area, aspects of 3/4 to 4/3, sampled to ``(B, C, size, size)``."""
    batch = x.shape[0]
    area = uniform((batch,), *scale, rng)
    aspect = uniform((batch,), -0.2877, 0.2877, rng).exp()
    width = (area * aspect).sqrt().clamp(max=1.0)
    height = (area / aspect).sqrt().clamp(max=1.0)
    x0 = uniform((batch,), -1, 1, rng) * (1 - width)
    y0 = uniform((batch,), -1, 1, rng) * (1 - height)
    # Not affine_grid, which under bfloat16 autocast rounds positions: by half a pixel at 256 px.
    centres = (torch.arange(size, device=x.device) * 2 + 1) / size - 1
    columns = (width[:, None] * centres + x0[:, None])[:, None, :].expand(batch, size, size)
    rows = (height[:, None] * centres + y0[:, None])[:, :, None].expand(batch, size, size)
    grid = torch.stack([columns, rows], dim=3)
    return functional.grid_sample(x, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def random_flip(x: Tensor, dim: int, rng: torch.Generator) -> Tensor:
    """Mirror each image along ``dim`` with probability one half."""
    chosen = uniform((x.shape[0], 1, 1, 1), 0, 1, rng) < 0.5
    return torch.where(chosen, x.flip(dim), x)


def _per_image(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)


def random_brightness_contrast(x: Tensor, views: Views, rng: torch.Generator) -> Tensor:
    """Each image scaled about its own mean and shifted."""
    batch = x.shape[0]
    gain = uniform((batch,), 1 - views.contrast, 1 + views.contrast, rng)
    shift = uniform((batch,), -views.brightness, views.brightness, rng)
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    changed = (x - mean) * _per_image(gain) + mean + _per_image(shift)
    return _sometimes(changed, x, views.jitter_probability, rng)


def random_colour(x: Tensor, views: Views, rng: torch.Generator) -> Tensor:
    """Saturation and hue as one 3×3 matrix per image, in YIQ."""
    batch = x.shape[0]
    saturation = uniform((batch,), max(0.0, 1 - views.saturation), 1 + views.saturation, rng)
    angle = uniform((batch,), -views.hue, views.hue, rng) * (2 * torch.pi)
    turn = torch.zeros(batch, 3, 3, device=x.device)
    turn[:, 0, 0] = 1.0
    turn[:, 1, 1] = turn[:, 2, 2] = angle.cos() * saturation
    turn[:, 1, 2] = -angle.sin() * saturation
    turn[:, 2, 1] = angle.sin() * saturation
    to_yiq = _TO_YIQ.to(x.device)
    matrix = torch.linalg.inv(to_yiq) @ turn @ to_yiq
    changed = torch.einsum("bij,bjhw->bihw", matrix, x)
    return _sometimes(changed, x, views.jitter_probability, rng)


def random_gray(x: Tensor, probability: float, rng: torch.Generator) -> Tensor:
    """Replace all three channels by the luma, for some images."""
    luma = torch.einsum("c,bchw->bhw", _LUMA.to(x.device), x)[:, None].expand_as(x)
    return _sometimes(luma, x, probability, rng)


def random_blur(x: Tensor, probability: float, rng: torch.Generator) -> Tensor:
    """Separable Gaussian blur, sigma .1 to 2 px for each image, kernel a tenth of the side."""
    batch, channels, height, width = x.shape
    reach = max(1, min(height, width) // 20)
    offsets = torch.arange(-reach, reach + 1, device=x.device, dtype=x.dtype)
    sigma = uniform((batch, 1), 0.1, 2.0, rng)
    kernel = torch.softmax(-(offsets**2) / (2 * sigma**2), dim=1).repeat_interleave(channels, dim=0)
    flat = functional.pad(x.reshape(1, batch * channels, height, width), (reach,) * 4, mode="reflect")
    rows = functional.conv2d(flat, kernel[:, None, :, None], groups=batch * channels)
    both = functional.conv2d(rows, kernel[:, None, None, :], groups=batch * channels)
    return _sometimes(both.view_as(x), x, probability, rng)


def _sometimes(changed: Tensor, x: Tensor, probability: float, rng: torch.Generator) -> Tensor:
    """``changed`` for a random share of the images, ``x`` for the others."""
    if probability >= 1:
        return changed
    chosen = uniform((x.shape[0], 1, 1, 1), 0, 1, rng) < probability
    return torch.where(chosen, changed, x)


def random_view(images: Tensor, standardize: Standardize, views: Views, rng: torch.Generator) -> Tensor:
    """One random view of each uint8 image, float ``(B, C, S, S)`` where a crop or a size is given.

    A crop is cut before it is standardised, as its whole image would be: that saves work, not accuracy.
    """
    if views.crop is not None:
        shift, scale = _standardization(images, standardize)
        cut = random_crop(images, min(views.crop, *images.shape[2:]), rng)
        return _vary((cut.float() - shift) / scale, views, rng)
    x = to_float(images, standardize)
    if views.size is not None or views.scale != (1.0, 1.0):
        x = random_resized_crop(x, views.size or min(x.shape[2:]), views.scale, rng)
    return _vary(x, views, rng)


def _vary(x: Tensor, views: Views, rng: torch.Generator) -> Tensor:
    """Flips, colours and blur."""
    if views.flip:
        x = random_flip(x, 3, rng)
    if views.flip_vertical:
        x = random_flip(x, 2, rng)
    x = recolour(x, views, rng)
    return random_blur(x, views.blur, rng) if views.blur else x


def recolour(x: Tensor, views: Views, rng: torch.Generator) -> Tensor:
    """Brightness, contrast, saturation, hue and gray of ``views``, each image its own."""
    if views.brightness or views.contrast:
        x = random_brightness_contrast(x, views, rng)
    if x.shape[1] == 3 and (views.saturation or views.hue):
        x = random_colour(x, views, rng)
    if x.shape[1] == 3 and views.gray:
        x = random_gray(x, views.gray, rng)
    return x
