"""Heatmaps of scored images as files: an overlay for people, and the raw map for programs."""

import io
import os
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from onlygood.runtime.atomic import write_atomically
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.files import display, mark_output
from onlygood.runtime.images.heat import blended, on_image
from onlygood.runtime.images.places import Region, regions
from onlygood.runtime.images.remote import Place, Remote
from onlygood.runtime.images.resize import Box
from onlygood.runtime.rows.stream import Look
from onlygood.runtime.rows.verdicts import Status, rounded

SIDE = 800  # px, the longest side of an overlay
OUTLINE = (86, 180, 233)  # of regions: sky blue, which is not among the heat's colors
_LONGEST = 180  # characters of a part of a name; file systems take 255 bytes with what is appended
_UNSAFE = frozenset('%~\\/:*?"<>|')


class Heatmaps:
    """A folder of ``NAME.png``, the heat over the image, and ``NAME.npy``, the model's map as it is.

    The raw map is float32 ``(h, w)``: a score has no upper bound, so 16 bits of a PNG would need a scale of
    each image's own and lose digits. Names are the images' own paths, encoded so that no two are the same.

    Args:
        folder: is made, and marked as output.
        heat: the values at which color begins and is full.
        limit: regions above this are outlined.
        inside: the pixels ``(H, W)`` of the canvas that count; others are dark in overlays, NaN in maps.
        flagged_only: write nothing for normal images.
    """

    def __init__(
        self,
        folder: Path,
        heat: tuple[float, float],
        limit: float,
        *,
        inside: NDArray[np.bool_] | None = None,
        flagged_only: bool = False,
    ) -> None:
        mark_output(folder, "heatmaps")
        self._inside = inside
        self._folder, self._heat, self._limit = folder, heat, limit
        self._flagged_only = flagged_only

    def __call__(self, look: Look) -> Mapping[str, Any]:
        """Write both files; returns their names, and where the map lies in the upright image.

        Raises:
            OnlygoodError: they cannot be written.
        """
        if self._flagged_only and look.status is Status.NORMAL:
            return {}
        overlay, raw = self._targets(look.path)
        inside = _inside(look, self._inside)
        try:
            overlay.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OnlygoodError(f"{display(overlay.parent)}: {error.strerror or error}") from None
        write_atomically(raw, _npy(look.placed.heatmap, inside), sweep=False)
        write_atomically(overlay, self._png(look, inside), sweep=False)
        return {
            "overlay": os.fspath(overlay),
            "heatmap": os.fspath(raw),
            "heatmap_box": [round(side, 3) for side in look.placed.box],
        }

    def missing(self, image: Place, status: Status) -> bool:
        """Whether an image that an earlier run scored has no heatmap here, and should."""
        wanted = status in (Status.NORMAL, Status.ANOMALOUS)
        if self._flagged_only and status is Status.NORMAL:
            wanted = False
        return wanted and not all(target.is_file() for target in self._targets(image))

    def _targets(self, image: Place) -> tuple[Path, Path]:
        parts = (image.local if isinstance(image, Remote) else image).parts
        place = self._folder.joinpath(*map(safe, parts))
        return place.with_name(place.name + ".png"), place.with_name(place.name + ".npy")

    def _png(self, look: Look, inside: NDArray[np.bool_] | None) -> bytes:
        picture = Image.fromarray(heated(look, self._heat, inside))
        width, height = picture.size
        across, down = width / look.width, height / look.height
        pen = ImageDraw.Draw(picture)
        size = (look.width, look.height)
        for region in regions(look.placed, _limit(look, self._limit), size, inside=inside):
            x0, y0, x1, y1 = region.box
            pen.rectangle(
                (x0 * across, y0 * down, max(x0 * across, x1 * across - 1), max(y0 * down, y1 * down - 1)),
                outline=OUTLINE,
                width=max(1, max(width, height) // 400),
            )
        file = io.BytesIO()
        picture.save(file, "PNG", compress_level=1)
        return file.getvalue()


def heated(
    look: Look, heat: tuple[float, float], inside: NDArray[np.bool_] | None = None
) -> NDArray[np.uint8]:
    """The preview of an image, ``(h, w, 3)``, with its heat over it; ``inside`` is as of `Heatmaps`."""
    preview = look.preview
    if preview is None:
        raise ValueError("the image was read without a preview")
    height, width = preview.shape[:2]
    across, down = width / look.width, height / look.height
    left, upper, right, lower = look.placed.box
    box = (left * across, upper * down, right * across, lower * down)
    drawn = on_image(look.placed.heatmap, width, height, box)
    inside = _inside(look, inside)
    if inside is not None:
        drawn, preview = _without(drawn, preview, box, inside)
    return blended(preview, drawn, heat)


class Boxes:
    """Says of each image which regions of its heatmap are above ``limit``."""

    def __init__(self, limit: float, inside: NDArray[np.bool_] | None = None) -> None:
        self._limit, self._inside = limit, inside

    def __call__(self, look: Look) -> Mapping[str, Any]:
        """The regions, the hottest first, and the limit."""
        size, limit = (look.width, look.height), _limit(look, self._limit)
        inside = _inside(look, self._inside)
        found: list[Region] = regions(look.placed, limit, size, turn=look.turn, inside=inside)
        return {"regions": [region.as_json() for region in found], "region_threshold": rounded(limit)}


def _limit(look: Look, usual: float) -> float:
    return usual if look.limit is None else look.limit


def _inside(look: Look, usual: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
    return usual if look.inside is None else look.inside


def _without(
    drawn: NDArray[np.float32], preview: NDArray[np.uint8], box: Box, inside: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Heat and preview without what does not count: no heat there, and dark."""
    height, width = preview.shape[:2]
    away = on_image((~inside).astype(np.float32), width, height, box) >= 0.5
    return np.where(away, np.float32(-np.inf), drawn), np.where(away[..., None], preview // 3, preview)


def safe(part: str) -> str:
    """A part of a path as a name that any file system takes, different for different parts.

    Bytes that are no text, control codes and what has a meaning somewhere appear as ``%2F``; so do ``.`` and
    ``..``, and the root of a path. Long names are cut, and end in a hash of the whole.
    """
    text = os.fsencode(part).decode("utf-8", "surrogateescape")
    name = "".join(c if c.isprintable() and c not in _UNSAFE else _encoded(c) for c in text)
    if name.strip(". ") != name.lstrip(". ") or not name.strip(
        "."
    ):  # Windows drops dots and blanks at the end
        name = name[:-1] + _encoded(name[-1])
    if len(os.fsencode(name)) > _LONGEST:
        digest = blake2b(os.fsencode(part), digest_size=8).hexdigest()
        name = os.fsencode(name)[: _LONGEST - 20].decode("utf-8", "ignore") + "~" + digest
    return name


def _encoded(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogateescape"))


def _npy(heatmap: NDArray[np.float32], inside: NDArray[np.bool_] | None) -> bytes:
    if inside is not None:  # a cell counts if half of it does
        shares = Image.fromarray(inside.astype(np.float32)).resize(heatmap.shape[::-1], Image.Resampling.BOX)
        heatmap = np.where(np.asarray(shares) >= 0.5, heatmap, np.float32(np.nan))
    file = io.BytesIO()
    np.save(file, np.ascontiguousarray(heatmap, np.float32), allow_pickle=False)
    return file.getvalue()
