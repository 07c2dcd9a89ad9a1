"""What an encoder keeps and what it ignores: color, position and scale, read by ridge regression.

Each image is made smaller, put somewhere on a gray canvas, and given a random mean color. Then its position,
size and color say nothing of what it shows, so no habit of photographers (skies are blue and at the top) can
stand in for what the features hold. A pretext task whose views change a property teaches the encoder to drop
it: R² near 0. A property that it keeps has R² near 1.
"""

from typing import Self

import numpy as np
import torch
from pydantic import Field, model_validator
from sklearn.linear_model import RidgeCV
from torch import Tensor
from torch.nn import functional

from onlygood.pretrain.data.labels import LabeledPart
from onlygood.pretrain.probe.features import Pool, Setup, read, scaled
from onlygood.pretrain.probe.result import Measurement
from onlygood.pretrain.views.color import YIQ
from onlygood.pretrain.views.views import uniform
from onlygood.runtime.strict import Strict

_LUMA, _CHROMA = torch.tensor(YIQ[0]), torch.tensor(YIQ[1:])
_RESAMPLES = 500  # of the test images, for intervals


class RetentionConfig(Strict):
    """How the images are changed, and how the changes are read."""

    pool: Pool = "mean"
    dimensions: int = Field(default=9000, ge=1)  # of max-pooled features, about
    scale: tuple[float, float] = (0.4, 0.9)  # of the sides
    tint: float = Field(default=48.0, ge=0)  # gray levels of each channel's mean from the middle, ± at most
    images: int = Field(default=5000, ge=2)  # at most, of the training images and of the test images each
    weakest: float = Field(default=1e-3, gt=0)  # ridge penalties tried, leave-one-out on training images
    strongest: float = Field(default=1e6, gt=0)
    penalties: int = Field(default=10, ge=1)

    @model_validator(mode="after")
    def _smaller(self) -> Self:
        if not 0 < self.scale[0] < self.scale[1] <= 1:
            raise ValueError("scale is two shares of the sides, the smaller first, above 0 and up to 1")
        return self


def retention(setup: Setup, config: RetentionConfig) -> list[Measurement]:
    """R² on the changed test images of every property and stage; no labels are used."""
    data = setup.data
    train, known = _changed(setup, config, data.train, 0)
    test, truth = _changed(setup, config, data.test, 1)
    penalties = np.geomspace(config.weakest, config.strongest, config.penalties)
    rows = []
    for stage, *features in zip(setup.encoder.stages, train, test, strict=True):
        inner, outer = scaled(*(found.double() for found in features))
        for name in known:
            center, spread = known[name].mean(dim=0), known[name].std(dim=0) + 1e-9
            model = RidgeCV(alphas=penalties, alpha_per_target=True)
            model.fit(inner.numpy(), ((known[name] - center) / spread).numpy())
            read_off = torch.from_numpy(model.predict(outer.numpy()).reshape(len(outer), -1))
            errors = (read_off * spread + center - truth[name]).numpy()
            value, low, high = _r_squared(errors, truth[name].numpy(), setup.seed)
            details = {"penalties": np.atleast_1d(model.alpha_).tolist(), "images": len(outer)}
            rows.append(
                Measurement(
                    stage=stage, measure=f"{name} R²", value=value, low=low, high=high, details=details
                )
            )
        found = ", ".join(f"{row.measure} {row.value:.3f}" for row in rows if row.stage == stage)
        setup.say(f"stage {stage}: {found}")
    return rows


def _changed(
    setup: Setup, config: RetentionConfig, part: LabeledPart, stream: int
) -> tuple[list[Tensor], dict[str, Tensor]]:
    """Features of the changed images, for each stage, and the properties that were changed."""
    rng = torch.Generator().manual_seed(2 * setup.seed + stream)
    ids = part.ids
    if len(ids) > config.images:
        ids = ids[torch.randperm(len(ids), generator=rng)[: config.images].sort().values.numpy()]
    setup.say(f"features of {len(ids)} changed images")
    parts, done = [], []
    for start in range(0, len(ids), setup.encoder.batch_size):
        images, properties = place(
            read(setup.data.store, ids[start : start + setup.encoder.batch_size]), config, rng
        )
        parts.append([x.cpu() for x in setup.encoder.pooled(images, config.pool, config.dimensions)])
        done.append(properties)
    features = [torch.cat(found) for found in zip(*parts, strict=True)]
    return features, {name: torch.cat([some[name] for some in done]).double() for name in done[0]}


def place(images: Tensor, config: RetentionConfig, rng: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
    """Change uint8 images ``(N, C, H, W)``; also returns each property as ``(N, P)``.

    Position is the center's (x, y), where the canvas goes from -1 to 1. Scale is the logarithm of the share
    of the sides. Brightness and color (two color differences, RGB only) are those of the changed picture's
    mean.
    """
    batch, channels = images.shape[:2]
    low, high = np.log(config.scale)
    scale = uniform((batch,), float(low), float(high), rng)
    side = scale.exp()[:, None]
    center = uniform((batch, 2), -1, 1, rng) * (1 - side)
    x = images.float()
    x = x - x.mean(dim=(2, 3), keepdim=True)
    affine = torch.zeros(batch, 2, 3)
    affine[:, 0, 0] = affine[:, 1, 1] = 1 / side[:, 0]
    affine[:, :, 2] = -center / side
    grid = functional.affine_grid(affine, list(x.shape), align_corners=False)
    tint = uniform((batch, channels, 1, 1), -config.tint, config.tint, rng)
    placed = functional.grid_sample(x, grid, align_corners=False) + 127.5 + tint
    placed = placed.round().clamp(0, 255)
    color = placed.mean(dim=(2, 3))
    properties = {"position": center, "scale": scale[:, None]}
    if channels == 3:
        properties |= {"colour": color @ _CHROMA.T, "brightness": (color @ _LUMA)[:, None]}
    else:
        properties["brightness"] = color
    return placed.to(torch.uint8), properties


def _r_squared(errors: np.ndarray, truth: np.ndarray, seed: int) -> tuple[float, float, float]:
    """R² averaged over the columns of ``(N, P)``, with its 95 % bootstrap interval over test images."""

    def measure(rows: np.ndarray | slice) -> float:
        unexplained = (errors[rows] ** 2).sum(axis=0)
        total = ((truth[rows] - truth[rows].mean(axis=0)) ** 2).sum(axis=0)
        return float((1 - unexplained / np.maximum(total, 1e-12)).mean())

    rng = np.random.default_rng(seed)
    again = [measure(rng.integers(len(errors), size=len(errors))) for _ in range(_RESAMPLES)]
    low, high = np.quantile(again, [0.025, 0.975])
    return measure(slice(None)), float(low), float(high)
