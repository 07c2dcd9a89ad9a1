"""An explanation as a picture: the image, its heat, and the good images that look like it, side by side."""

import io
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from onlygood.deploy.explaining import Explanation
from onlygood.deploy.heatmaps import OUTLINE
from onlygood.runtime.images.files import printable
from onlygood.runtime.images.heat import blended, on_image
from onlygood.runtime.rows.stream import Look

SIDE = 320  # px of a panel's picture
_GAP, _LINE, _TEXT = 12, 20, 14
_PAPER, _INK, _QUIET = (255, 255, 255), (29, 31, 33), (85, 89, 94)


def picture(found: Explanation) -> bytes:
    """A PNG: panels in a row, each with two lines below it."""
    panels = list(_panels(found))
    width, height = _GAP + len(panels) * (SIDE + _GAP), SIDE + 3 * _GAP + 2 * _LINE
    sheet = Image.new("RGB", (width, height), _PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(_TEXT)
    for number, (image, title, below) in enumerate(panels):
        left = _GAP + number * (SIDE + _GAP)
        sheet.paste(image, (left + (SIDE - image.width) // 2, _GAP + (SIDE - image.height) // 2))
        for line, (text, ink) in enumerate(((title, _INK), (below, _QUIET))):
            pen.text((left, SIDE + 2 * _GAP + line * _LINE), _fitting(text, font), fill=ink, font=font)
    file = io.BytesIO()
    sheet.save(file, "PNG", optimize=True)
    return file.getvalue()


def _panels(found: Explanation) -> Iterator[tuple[Image.Image, str, str]]:
    row = found.row
    yield _plain(found.look), f"{row.status.value}, score {row.score:.4g}", printable(row.path)
    limit = found.detector.heat_threshold(found.rate)
    yield _heated(found), "heat", f"highest {found.look.placed.heatmap.max():.4g}, limit {limit:.4g}"
    for one in found.neighbors:
        yield _plain(one.look), f"called good, score {one.row.score:.4g}", printable(one.row.path)


def _plain(look: Look) -> Image.Image:
    if look.preview is None:
        raise ValueError("the image was read without a preview")
    return ImageOps.contain(Image.fromarray(look.preview), (SIDE, SIDE))


def _heated(found: Explanation) -> Image.Image:
    look = found.look
    image = _plain(look)
    across, down = image.width / look.width, image.height / look.height
    left, upper, right, lower = look.placed.box
    box = (left * across, upper * down, right * across, lower * down)
    drawn = on_image(look.placed.heatmap, image.width, image.height, box)
    heated = Image.fromarray(blended(np.asarray(image), drawn, found.detector.heat_range(found.rate)))
    pen = ImageDraw.Draw(heated)
    for region in found.regions:
        x0, y0, x1, y1 = region.box
        corner = (max(x0 * across, x1 * across - 1), max(y0 * down, y1 * down - 1))
        pen.rectangle(((x0 * across, y0 * down), corner), outline=OUTLINE)
    return heated


def _fitting(text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> str:
    """The end of a text that is as wide as a panel: of names it says most."""
    cut = text
    while cut and font.getlength(cut if cut == text else f"…{cut}") > SIDE:
        cut = cut[1:]
    return cut if cut == text else f"…{cut}"
