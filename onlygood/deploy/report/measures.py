"""What labels tell of a model's scores, as JSON values for the page."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from onlygood.anomaly.evaluation import metrics
from onlygood.deploy.report.collect import Looked
from onlygood.runtime.model.metadata import Calibration


def measures(images: Sequence[Looked], held_out: Calibration, seed: int) -> dict[str, Any] | None:
    """AUROC, average precision, bands of both curves and AUROC of each defect type, with 95 % intervals.

    Of the labeled images that count (scored, and not known to the model), as `evaluate` takes them. Where no
    good one counts, of the anomalous ones ``against`` the calibration: good images that the model did not
    learn from, whose scores are in its file. None where no anomalous one counts.
    """
    labeled = [image for image in images if image.sample is not None and image.counted]
    good, bad = (
        np.array([image.row.score for image in labeled if image.sample and image.sample.label == label])
        for label in (0, 1)
    )
    if not len(bad):
        return None
    against = "images" if len(good) else "calibration"
    if not len(good):
        good = np.array(held_out.scores)
    kinds = [image.sample.defect for image in labeled if image.sample and image.sample.label]
    found = metrics.image_metrics(good, bad, seed=seed)
    roc, precision = metrics.curve_bands(good, bad, seed=seed)
    by_defect = metrics.per_defect(good, bad, kinds, seed=seed)
    return {
        "against": against,
        "auroc": found.auroc._asdict(),
        "average_precision": found.average_precision._asdict(),
        "fpr95": found.fpr95._asdict(),
        "roc_band": roc.round(4).tolist(),
        "precision_band": precision.round(4).tolist(),
        "per_defect": {name: value._asdict() for name, (value, _) in by_defect.items()},
    }
