"""Images that are given as good and look out of place, as a list and as a contact sheet."""

from collections.abc import Iterator, Sequence
from io import BytesIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from onlygood.anomaly.doctor.findings import Finding, Material
from onlygood.anomaly.fit import judge
from onlygood.anomaly.parts import Parts
from onlygood.anomaly.suspects import Judged
from onlygood.runtime.images.resize import resize
from onlygood.runtime.images.spec import InputSpec
from onlygood.runtime.model.outliers import distances

SHOWN = 24  # images on a contact sheet
_CELL, _ACROSS, _GAP = 200, 6, 6  # px, images, px


def judged(material: Material) -> Judged:
    """All images, scored as `fit` judges its training images: by a head that has not seen them."""
    ids = material.unique
    names = {int(i): material.store.hashes[i] for i in ids}
    nobody = np.empty(0, np.int64)
    return judge(material.recipe, material.store, Parts(ids, nobody, 1.0, names), torch.device("cpu"))


def examine_outliers(material: Material, found: Judged) -> Iterator[Finding]:
    """A finding about the images far outside the others' scores, the farthest first."""
    if not len(found.scores):
        return
    far = distances(found.scores)
    order = np.argsort(-far, kind="stable")
    odd = found.ids[order[far[order] > 1]]
    if len(odd):
        yield Finding(
            "outliers",
            "warning",
            f"{len(odd)} of {len(found.ids)} images lie far outside the others, as an untrained "
            "encoder sees them",
            "one defective part among the good ones teaches that its defect is good; held out, it becomes "
            "the threshold",
            "look at them (--sheet draws them), and leave out what is not good: fit --exclude LIST, or "
            "--drop-suspicious",
            material.names(odd),
            len(odd),
        )


def farthest(found: Judged, most: int = SHOWN) -> NDArray[np.int64]:
    """The images with the highest scores, the highest first."""
    return found.ids[np.argsort(-found.scores, kind="stable")[:most]]


def contact_sheet(material: Material, ids: Sequence[int] | NDArray[np.int64]) -> bytes:
    """A PNG of the images ``ids`` as the network sees them, row by row, with their proportions."""
    spec = material.store.spec
    scale = _CELL / max(spec.height, spec.width)
    height, width = (max(8, round(side * scale)) for side in (spec.height, spec.width))
    view = InputSpec(height=height, width=width, channels=spec.channels)
    rows = -(-len(ids) // _ACROSS)
    size = (_ACROSS * (width + _GAP) + _GAP, max(1, rows) * (height + _GAP) + _GAP)
    sheet = Image.new("RGB", size, (24, 24, 24))
    for place, i in enumerate(ids):
        pixels = resize(material.store.batch(np.array([i]))[0], view)
        row, column = divmod(place, _ACROSS)
        picture = Image.fromarray(pixels[..., 0] if spec.channels == 1 else pixels)
        sheet.paste(picture, (_GAP + column * (width + _GAP), _GAP + row * (height + _GAP)))
    file = BytesIO()
    sheet.save(file, "PNG")
    return file.getvalue()
