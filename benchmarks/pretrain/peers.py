"""What views.py and steps.py share: images by seed, and the random views of other libraries.

Strengths come from onlygood's own presets. The colour steps are alike, not the same: the others multiply
brightness (at .4 by .6 to 1.4) where onlygood adds (at .4 up to 25 grey levels), turn the hue in HSV where
onlygood turns it in YIQ, shuffle the steps, and round or clip after each; onlygood's are one matrix for each
image. All give float32 of about zero mean and unit deviation: ``x / 63.75 - 2`` of grey levels.
"""

import importlib.metadata
import random
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from benchmarks import harness
from onlygood.pretrain.views.views import Views

PACKAGES = ("torch", "torchvision", "kornia", "lightly", "pillow", "numpy")
MEAN, DEVIATION = [0.5] * 3, [0.25] * 3  # as onlygood's "fixed" standardisation
SIGMA = (0.1, 2.0)  # of blurs, in pixels


def versions() -> dict[str, str | None]:
    """Of all packages that are compared; None where one is not installed."""
    found: dict[str, str | None] = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found


def accelerator() -> str | None:
    """The name of the CUDA device that this process would use."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def machine() -> str:
    """A short name for result files: the accelerator's, or the number of CPUs."""
    name = accelerator() or f"cpu-{harness.provenance()['cpus']}"
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def seed_all(seed: int) -> None:
    """Seed the three global generators that other libraries draw from."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def rendered(count: int, side: int, seed: int) -> NDArray[np.uint8]:
    """Coloured blocks and noise (count, side, side, 3): enough contrast that no step is without effect."""
    rng = np.random.default_rng(seed)
    block = -(-side // 8)
    coarse = rng.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    blocks = coarse.repeat(block, axis=1).repeat(block, axis=2)[:, :side, :side]
    noise = rng.integers(-40, 41, blocks.shape, dtype=np.int16)
    return np.clip(blocks + noise, 0, 255).astype(np.uint8)


def channels_first(pixels: NDArray[np.uint8]) -> torch.Tensor:
    """uint8 (B, H, W, C) as a tensor (B, C, H, W) of its own."""
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))


class PillowBlur:
    """Gaussian blur by Pillow with a random sigma, as lightly and solo-learn do it."""

    def __call__(self, image: Image.Image) -> Image.Image:
        """Blur one image."""
        return image.filter(ImageFilter.GaussianBlur(random.uniform(*SIGMA)))


def blur_kernel(side: int) -> int:
    """As onlygood's: a tenth of the side, odd."""
    return 2 * max(1, side // 20) + 1


def _varied(module: Any, views: Views, side: int, blur: Any, **crop: Any) -> list[Any]:
    """The random steps that ``views`` asks for, from torchvision's transforms or its transforms.v2."""
    steps: list[Any] = []
    if views.scale != (1.0, 1.0):
        steps.append(module.RandomResizedCrop(side, scale=views.scale, **crop))
    if views.flip:
        steps.append(module.RandomHorizontalFlip())
    strengths = (views.brightness, views.contrast, views.saturation, views.hue)
    if any(strengths):
        steps.append(module.RandomApply([module.ColorJitter(*strengths)], p=views.jitter_probability))
    if views.gray:
        steps.append(module.RandomGrayscale(p=views.gray))
    if views.blur:
        steps.append(module.RandomApply([blur], p=views.blur))
    return steps


def pillow_views(views: Views, side: int, *, bicubic: bool = False) -> Callable[[Image.Image], torch.Tensor]:
    """One view of one Pillow image, by torchvision."""
    from torchvision import transforms  # noqa: PLC0415

    mode = transforms.InterpolationMode.BICUBIC if bicubic else transforms.InterpolationMode.BILINEAR
    steps = _varied(transforms, views, side, PillowBlur(), interpolation=mode)
    chain: Callable[[Image.Image], torch.Tensor]
    chain = transforms.Compose([*steps, transforms.ToTensor(), transforms.Normalize(MEAN, DEVIATION)])
    return chain


def tensor_views(views: Views, side: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """One view of one uint8 tensor, by torchvision v2. Of a batch, all get the same draw."""
    from torchvision.transforms import v2  # noqa: PLC0415

    blur = v2.GaussianBlur(blur_kernel(side), SIGMA)
    end = [v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, DEVIATION)]
    chain: Callable[[torch.Tensor], torch.Tensor] = v2.Compose([*_varied(v2, views, side, blur), *end])
    return chain


def kornia_views(views: Views, side: int, cropping: str) -> torch.nn.Module:
    """One view of each image of a float batch in [0, 1]; ``cropping`` is kornia's "slice" or "resample"."""
    import kornia.augmentation as kornia  # noqa: PLC0415

    steps: list[torch.nn.Module] = []
    if views.scale != (1.0, 1.0):
        size = (side, side)
        steps.append(kornia.RandomResizedCrop(size, scale=views.scale, cropping_mode=cropping))
    if views.flip:
        steps.append(kornia.RandomHorizontalFlip())
    strengths = (views.brightness, views.contrast, views.saturation, views.hue)
    if any(strengths):
        steps.append(kornia.ColorJitter(*strengths, p=views.jitter_probability))
    if views.gray:
        steps.append(kornia.RandomGrayscale(p=views.gray))
    if views.blur:
        kernel = blur_kernel(side)
        steps.append(kornia.RandomGaussianBlur((kernel, kernel), SIGMA, p=views.blur))
    steps.append(kornia.Normalize(torch.tensor(MEAN), torch.tensor(DEVIATION)))
    return torch.nn.Sequential(*steps)
