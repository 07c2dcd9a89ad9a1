"""``views.png``: what the encoder is shown in a training, image by image, before a step is taken.

Half of the faults of a self-supervised training are seen here and nowhere else: crops that miss the part,
colors that are gone, defects that nobody could see, a border that tells the answer.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn

from onlygood.pretrain.tasks.base import Task
from onlygood.pretrain.training.feed import Feed
from onlygood.pretrain.views.views import Standardize, from_float
from onlygood.runtime.atomic import replacing

FILE_NAME = "views.png"
IMAGES, VIEWS = 5, 7  # rows of the sheet, and views in each
_ROUNDS = 7  # in which the views are drawn: many tasks show one view of each image
_CELL, _GAP, _MARGIN, _TOP = 128, 8, 20, 66  # px
_PAPER, _INK, _QUIET = "#FFFFFF", "#222222", "#6B6B6B"


def write_views(task: Task, feed: Feed, seed: int, step: int, folder: Path) -> bool:
    """Write ``views.png`` of the training images of ``step``; whether there was anything to draw.

    The views are drawn by a copy of the task: nothing that the training does changes.
    """
    positions = feed.positions(step)[:IMAGES]
    images = feed.images(positions)
    shown = views_of(task, images, torch.from_numpy(positions).to(feed.device), len(feed), seed)
    if not any(shown):
        return False
    pictures = images.permute(0, 2, 3, 1).cpu().numpy()
    sheet = draw(pictures, shown, task.standardize)
    with replacing(folder / FILE_NAME) as temporary:
        sheet.save(temporary, format="PNG")
    return True


@torch.no_grad()
def views_of(task: Task, images: Tensor, ids: Tensor, count: int, seed: int) -> list[list[Tensor]]:
    """Of each image ``(C, H, W)`` of uint8 ``images`` some of the inputs ``(C, h, w)`` that the encoder gets.

    Tasks mix and reorder their views as they like. Whose a view is, is found by inverting one image after
    the other under equal draws: a view belongs to the image that changes it most. ``ids`` ``(B,)`` are the
    positions of the images among all ``count``.
    """
    trial = copy.deepcopy(task).train()
    rng = torch.Generator(images.device)
    width = trial.embed(images[:1]).shape[1]
    draw_features = partial(torch.randn, count, width, generator=rng, device=images.device)
    trial.start_epoch(0, draw_features)
    found: list[list[Tensor]] = [[] for _ in images]

    def inputs(pixels: Tensor, number: int) -> list[Tensor]:
        rng.manual_seed(seed + number)
        with _stem_watched(trial) as seen:
            trial(pixels, ids, rng)
        return [view for batch in seen for view in batch]

    for number in range(_ROUNDS):
        views = inputs(images, number)
        changes = []
        for index in range(len(images)):
            inverted = images.clone()
            inverted[index] = 255 - images[index]
            changed = inputs(inverted, number)
            pairs = zip(views, changed, strict=True)
            changes.append([float((a - b).abs().mean()) for a, b in pairs])
        for view, change in zip(views, np.array(changes).T, strict=True):
            own = found[int(change.argmax())]
            new = change.any() and not any(torch.equal(view, other) for other in own)
            if new and len(own) < VIEWS:
                own.append(view)
        if all(len(own) == VIEWS for own in found):
            break
    return found


@contextmanager
def _stem_watched(task: Task) -> Iterator[list[Tensor]]:
    """What the encoder's first convolution is given, float ``(N, C, h, w)``; nothing where there is none."""
    seen: list[Tensor] = []
    stem = next((part for part in task.encoder.modules() if isinstance(part, nn.Conv2d)), None)
    if stem is None:
        yield seen
        return

    def note(_: nn.Module, given: tuple[Tensor, ...]) -> None:
        seen.append(given[0].float())

    handle = stem.register_forward_pre_hook(note)
    try:
        yield seen
    finally:
        handle.remove()


# --- the picture


def draw(pictures: NDArray[np.uint8], shown: list[list[Tensor]], standardize: Standardize) -> Image.Image:
    """A row for each image ``(H, W, C)`` that has views: the image, as high as its views, then these."""
    rows = [(picture, views) for picture, views in zip(pictures, shown, strict=True) if views]
    wide = max(1, round(_CELL * min(2.0, pictures.shape[2] / pictures.shape[1])))
    columns = max(len(views) for _, views in rows)
    width = 2 * _MARGIN + wide + 3 * _GAP + columns * (_CELL + _GAP) - _GAP
    sheet = Image.new("RGB", (max(width, 620), _TOP + len(rows) * (_CELL + _GAP) + _MARGIN - _GAP), _PAPER)
    pen = ImageDraw.Draw(sheet)
    large, small = (ImageFont.load_default(size) for size in (16, 12))
    left = _MARGIN + wide + 3 * _GAP
    pen.text((_MARGIN, 14), "What the encoder is shown", _INK, large)
    pen.text((_MARGIN, 42), f"{pictures.shape[2]} x {pictures.shape[1]} px", _QUIET, small)
    side = " x ".join(str(size) for size in reversed(rows[0][1][0].shape[1:]))
    plain = "; the brightness and contrast of each image are taken out" if standardize == "image" else ""
    pen.text((left, 42), f"as views of {side} px{plain}", _QUIET, small)
    for number, (picture, views) in enumerate(rows):
        top = _TOP + number * (_CELL + _GAP)
        _paste(sheet, picture, (_MARGIN, top), (wide, _CELL))
        for column, view in enumerate(views):
            pixels = from_float(view[None], standardize)[0].permute(1, 2, 0).cpu().numpy()
            _paste(sheet, pixels, (left + column * (_CELL + _GAP), top), (_CELL, _CELL))
    return sheet


def _paste(
    sheet: Image.Image, pixels: NDArray[np.uint8], corner: tuple[int, int], box: tuple[int, int]
) -> None:
    """Fit ``(H, W, C)`` into a box; small views are enlarged pixel by pixel, since so they are seen."""
    gray = pixels.shape[2] != 3
    picture = Image.fromarray(pixels[..., 0] if gray else pixels)
    factor = min(box[0] / picture.width, box[1] / picture.height)
    size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
    how = Image.Resampling.NEAREST if factor > 2 else Image.Resampling.LANCZOS
    offset = ((box[0] - size[0]) // 2, (box[1] - size[1]) // 2)
    sheet.paste(picture.resize(size, how).convert("RGB"), (corner[0] + offset[0], corner[1] + offset[1]))
