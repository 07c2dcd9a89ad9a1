"""Batched random views with per-sample parameters: no loop over images, all draws from explicit generators.

All functions take and return float images ``(B, C, H, W)`` unless they say otherwise, on any device.
"""

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from onlygood.pretrain.views.color import YIQ
from onlygood.runtime.strict import Strict

Standardize = Literal["image", "fixed", "unit", "plain", "imagenet"]

_TO_YIQ = torch.tensor(YIQ)
_FROM_YIQ = torch.linalg.inv(_TO_YIQ)
_UNIT = 63.75  # gray levels in a unit of "fixed", which maps 0 … 255 to -2 … 2
_ZERO_ONE = {"fixed": (127.5, _UNIT), "unit": (127.5, 127.5), "plain": (0.0, 255.0)}  # gray levels
_IMAGENET_MEAN = (123.675, 116.28, 103.53)  # gray levels of red, green and blue: 0.485, 0.456, 0.406 of white
_IMAGENET_DEVIATION = (58.395, 57.12, 57.375)
_LEAST = 8.0  # gray levels added to an image's deviation, so that flat images do not explode
_WIDEST = 4 / 3  # the largest width to height of a resized crop, in pixels; 3/4 is the smallest


class Views(Strict):
    """One random view of an image: what is drawn, and how strongly.

    ``crop`` is the side of a square that is cut at native scale. Without it, ``scale`` is the range of the
    area of a resized crop of side ``size``. Zero switches a step off.
    """

    crop: int | None = Field(default=None, ge=8)
    size: int | None = Field(default=None, ge=8)
    scale: tuple[float, float] = (1.0, 1.0)
    flip: bool = True  # left-right
    flip_vertical: bool = False
    brightness: float = Field(default=0.0, ge=0)  # added, in units of the image's own contrast
    contrast: float = Field(default=0.0, ge=0, lt=1)  # multiplied by 1 ± this
    saturation: float = Field(default=0.0, ge=0)
    hue: float = Field(default=0.0, ge=0, le=0.5)  # turns of the color circle
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

    "image" uses each image's own mean and deviation, over all its channels, plus 8 gray levels so that flat
    images do not explode: exposure drops out. The others keep absolute brightness: "fixed" is
    ``x / 63.75 - 2``; others publish weights for "unit", ``x / 127.5 - 1``, for "plain", ``x / 255``, and for
    "imagenet", the mean and deviation of ImageNet's colors. Since these differ from color to color, gray
    images have three channels under "imagenet".
    """
    x = images.to(torch.float32, copy=True)  # one copy only: on a CPU, new memory costs more than arithmetic
    return x.sub_(_mean(x)).div_(_deviation(x)) if standardize == "image" else _absolute(x, standardize)


def channels_seen(channels: int, standardize: Standardize | None) -> int:
    """How many channels ``to_float`` makes of ``channels``."""
    return 3 if standardize == "imagenet" else channels


def _absolute(x: Tensor, standardize: Standardize) -> Tensor:
    """Float pixels ``(B, C, H, W)`` from 0 to 255, standardized by constants; in place where C stays."""
    if standardize == "imagenet":
        mean, deviation = (
            torch.tensor(values, device=x.device).view(3, 1, 1)
            for values in (_IMAGENET_MEAN, _IMAGENET_DEVIATION)
        )
        return (x - mean) / deviation
    zero, one = _ZERO_ONE[standardize]
    return x.sub_(zero).div_(one)


def black_white(images: Tensor, standardize: Standardize) -> tuple[Tensor, Tensor]:
    """What ``to_float`` makes of black and of white pixels of each image, ``(B, 1, 1, 1)`` both.

    Under "imagenet", where these differ from color to color, ``(B, 3, 1, 1)``.
    """
    if standardize == "image":
        whole = images.to(torch.float32, copy=True)
        mean = _mean(whole)
        deviation = _deviation(whole.sub_(mean))
        return -mean / deviation, (255 - mean) / deviation
    flat = torch.ones(len(images), 1, 1, 1, device=images.device)
    return _absolute(0 * flat, standardize), _absolute(255 * flat, standardize)


def from_float(x: Tensor, standardize: Standardize) -> Tensor:
    """Pixels uint8 ``(B, C, H, W)`` to look at, of what ``to_float`` or a view of it made.

    Where it took away an image's own mean and deviation, mid-gray and 50 gray levels stand for them.
    """
    if standardize == "imagenet":
        deviation = torch.tensor(_IMAGENET_DEVIATION, device=x.device).view(3, 1, 1)
        x = x * deviation + torch.tensor(_IMAGENET_MEAN, device=x.device).view(3, 1, 1)
    else:
        zero, one = _ZERO_ONE.get(standardize, (127.5, 50.0))
        x = x * one + zero
    return x.round().clamp(0, 255).to(torch.uint8)


def as_image(x: Tensor) -> Tensor:
    """Views ``(N, C, H, W)`` in the units of "fixed", each standardized by itself, as "image" does it."""
    x = x - x.mean(dim=(1, 2, 3), keepdim=True)
    return x / (x.square().mean(dim=(1, 2, 3), keepdim=True).sqrt() + _LEAST / _UNIT)


def _mean(x: Tensor) -> Tensor:
    """The mean of each image ``(B, C, H, W)``, as ``(B, 1, 1, 1)``.

    Each row is averaged first: onnxruntime adds float32 numbers one after another, which is off by 1e-4 over
    a whole image.
    """
    return x.mean(dim=3, keepdim=True).mean(dim=(1, 2), keepdim=True)


def _deviation(x: Tensor) -> Tensor:
    """The deviation of each centered image, plus 8 gray levels.

    By norms: ``torch.var_mean`` takes 13 times longer.
    """
    norm = torch.linalg.vector_norm(torch.linalg.vector_norm(x, dim=3), dim=(1, 2)).view(-1, 1, 1, 1)
    deviation: Tensor = norm / math.sqrt(x[0].numel()) + _LEAST
    return deviation


Flips = tuple[bool, bool]  # whether to mirror left and right, and top and bottom, with probability one half


def random_crop(x: Tensor, size: int, rng: torch.Generator, flips: Flips = (False, False)) -> Tensor:
    """Square windows ``(B, C, size, size)`` at native scale, each at its own place."""
    batch, _, height, width = x.shape
    top = torch.randint(0, height - size + 1, (batch,), generator=rng, device=x.device)
    left = torch.randint(0, width - size + 1, (batch,), generator=rng, device=x.device)
    offsets = torch.arange(size, device=x.device)
    rows, columns = _mirrored(top[:, None] + offsets, left[:, None] + offsets, flips, rng)
    which = torch.arange(batch, device=x.device)[:, None, None]
    return x[which, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _mirrored(rows: Tensor, columns: Tensor, flips: Flips, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Where windows take their pixels from, ``(B, size)`` each.

    An order from back to front mirrors a window for free.
    """
    half = (len(rows), 1)
    if flips[0]:
        columns = torch.where(uniform(half, 0, 1, rng) < 0.5, columns.flip(1), columns)
    if flips[1]:
        rows = torch.where(uniform(half, 0, 1, rng) < 0.5, rows.flip(1), rows)
    return rows, columns


def random_resized_crop(
    x: Tensor,
    size: int,
    scale: tuple[float, float],
    rng: torch.Generator,
    flips: Flips = (False, False),
) -> Tensor:
    """Windows of a random share of the area, sampled to ``(B, C, size, size)``.

    They are 3/4 to 4/3 as wide as high, in oblong images too, whose largest windows are therefore smaller
    than the share says: things keep about the shape in which the detector sees them.
    """
    batch, side = x.shape[0], x.shape[2] / x.shape[3]  # height, in widths
    area = uniform((batch,), *scale, rng)
    aspect = uniform((batch,), -math.log(_WIDEST), math.log(_WIDEST), rng).exp()
    width = (area * aspect * side).sqrt().clamp(max=1.0)  # shares of the image's sides
    height = (area / (aspect * side)).sqrt().clamp(max=1.0)
    if side != 1:
        width = torch.minimum(width, _WIDEST * height * side)
        height = torch.minimum(height, _WIDEST * width / side)
    x0 = uniform((batch,), -1, 1, rng) * (1 - width)
    y0 = uniform((batch,), -1, 1, rng) * (1 - height)
    # Not affine_grid, which under bfloat16 autocast rounds positions: by half a pixel at 256 px.
    centers = (torch.arange(size, device=x.device) * 2 + 1) / size - 1
    rows, columns = height[:, None] * centers + y0[:, None], width[:, None] * centers + x0[:, None]
    rows, columns = _mirrored(rows, columns, flips, rng)
    shape = (batch, size, size)
    grid = torch.stack([columns[:, None, :].expand(shape), rows[:, :, None].expand(shape)], dim=3)
    return functional.grid_sample(x, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def random_flip(x: Tensor, dim: int, rng: torch.Generator) -> Tensor:
    """Mirror each image along ``dim`` with probability one half."""
    return _sometimes(x.flip(dim), x, 0.5, rng)


def recolor(x: Tensor, views: Views, rng: torch.Generator) -> Tensor:
    """Brightness, contrast, saturation, hue and gray of ``views`` for each image of float ``(B, C, H, W)``.

    All of these are linear in an image's colors, so they become one matrix and one offset per image, and one
    pass over the pixels suffices. Images of one channel have neither saturation nor hue.
    """
    batch, channels = x.shape[:2]
    color = channels == 3 and bool(views.saturation or views.hue)
    gray = channels == 3 and views.gray > 0
    if not (views.brightness or views.contrast or color or gray):
        return x
    with torch.autocast(x.device.type, enabled=False):
        same = torch.eye(channels, device=x.device).expand(batch, channels, channels)
        matrix, offset = same, torch.zeros(batch, channels, 1, device=x.device)
        if views.brightness or views.contrast:
            matrix, offset = _brightness_contrast(x, views, rng)
        if color:
            matrix = _saturation_hue(views, rng, batch) @ matrix  # the offset is gray and stays
        if views.jitter_probability < 1:  # all of the above or nothing
            chosen = uniform((batch, 1, 1), 0, 1, rng) < views.jitter_probability
            matrix, offset = torch.where(chosen, matrix, same), torch.where(chosen, offset, 0.0)
        if gray:
            luma = _sometimes(_TO_YIQ[0].to(x.device).expand_as(same), same, views.gray, rng)
            matrix = luma @ matrix
        return torch.baddbmm(offset, matrix, x.flatten(2)).view(x.shape)


def _brightness_contrast(x: Tensor, views: Views, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Matrices ``(B, C, C)`` and offsets ``(B, C, 1)``: each image is scaled about its mean and shifted."""
    batch, channels = x.shape[:2]
    gain = uniform((batch, 1, 1), 1 - views.contrast, 1 + views.contrast, rng)
    shift = uniform((batch, 1, 1), -views.brightness, views.brightness, rng)
    mean = x.mean(dim=(1, 2, 3)).view(-1, 1, 1)
    offset = (mean * (1 - gain) + shift).expand(batch, channels, 1)
    return gain * torch.eye(channels, device=x.device), offset


def _saturation_hue(views: Views, rng: torch.Generator, batch: int) -> Tensor:
    """Matrices ``(B, 3, 3)`` that turn and stretch the colors in YIQ."""
    device = rng.device
    saturation = uniform((batch,), max(0.0, 1 - views.saturation), 1 + views.saturation, rng)
    angle = uniform((batch,), -views.hue, views.hue, rng) * (2 * torch.pi)
    turn = torch.zeros(batch, 3, 3, device=device)
    turn[:, 0, 0] = 1.0
    turn[:, 1, 1] = turn[:, 2, 2] = angle.cos() * saturation
    turn[:, 1, 2] = -angle.sin() * saturation
    turn[:, 2, 1] = angle.sin() * saturation
    matrix: Tensor = _FROM_YIQ.to(device) @ turn @ _TO_YIQ.to(device)
    return matrix


def random_blur(x: Tensor, probability: float, rng: torch.Generator) -> Tensor:
    """Separable Gaussian blur, sigma .1 to 2 px for each image, kernel a tenth of the side."""
    sigma = uniform((len(x), 1), 0.1, 2.0, rng)
    if probability >= 1:
        return _blur(x, sigma)
    # Only the chosen images are blurred: blur costs more than everything else.
    chosen = (uniform((len(x),), 0, 1, rng) < probability).nonzero()[:, 0]
    return x.index_copy(0, chosen, _blur(x[chosen], sigma[chosen])) if len(chosen) else x


def _blur(x: Tensor, sigma: Tensor) -> Tensor:
    """Images ``(B, C, H, W)`` blurred by ``sigma`` ``(B, 1)``, px; their borders are mirrored."""
    batch, channels, height, width = x.shape
    reach = max(1, min(height, width) // 20)
    offsets = torch.arange(-reach, reach + 1, device=x.device, dtype=x.dtype)
    kernel = torch.softmax(-(offsets**2) / (2 * sigma**2), dim=1).repeat_interleave(channels, dim=0)
    flat = functional.pad(x.reshape(1, batch * channels, height, width), (reach,) * 4, mode="reflect")
    with torch.autocast(x.device.type, enabled=False):
        rows = functional.conv2d(flat, kernel[:, None, :, None], groups=batch * channels)
        both = functional.conv2d(rows, kernel[:, None, None, :], groups=batch * channels)
    return both.view_as(x)


def _sometimes(changed: Tensor, x: Tensor, probability: float, rng: torch.Generator) -> Tensor:
    """``changed`` for a random share of the images, ``x`` for the others."""
    if probability >= 1:
        return changed
    chosen = uniform((x.shape[0], *[1] * (x.ndim - 1)), 0, 1, rng) < probability
    return torch.where(chosen, changed, x)


def random_view(images: Tensor, standardize: Standardize, views: Views, rng: torch.Generator) -> Tensor:
    """One random view of each uint8 image, float ``(B, C, S, S)`` where a crop or a size is given.

    A crop is cut first and then standardized with the mean and deviation of its whole image. The result is
    that of the other order, with less work.
    """
    flips = (views.flip, views.flip_vertical)
    if views.crop is not None:
        x = random_crop(images, min(views.crop, *images.shape[2:]), rng, flips).float()
        if standardize == "image":
            whole = images.to(torch.float32, copy=True)
            x = x.sub_(mean := _mean(whole)).div_(_deviation(whole.sub_(mean)))
        else:
            x = _absolute(x, standardize)
    elif views.size is not None or views.scale != (1.0, 1.0):
        size = views.size or min(images.shape[2:])
        x = random_resized_crop(to_float(images, standardize), size, views.scale, rng, flips)
    else:
        x = to_float(images, standardize)
        for dim, flip in zip((3, 2), flips, strict=True):
            x = random_flip(x, dim, rng) if flip else x
    x = recolor(x, views, rng)
    return random_blur(x, views.blur, rng) if views.blur else x


def unit_view(images: Tensor, views: Views, rng: torch.Generator) -> Tensor:
    """One random view of each uint8 image, float in [0, 1]."""
    return ((random_view(images, "fixed", views, rng) + 2) / 4).clamp(0, 1)
