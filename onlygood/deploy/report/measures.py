"""What labels tell of a model's scores, as JSON values for the page."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from onlygood.anomaly.evaluation import metrics
from onlygood.deploy.report.collect import Looked


def measures(images: Sequence[Looked], seed: int) -> dict[str, Any] | None:
    """AUROC, average precision, bands of both curves and AUROC of each defect type, with 95 % intervals.

    Of the labeled images that count (scored, and not known to the model), as `evaluate` takes them. None
    unless there are both good and anomalous ones.
    """
    labeled = [image for image in images if image.sample is not None and image.counted]
    good, bad = (
        np.array([image.row.score for image in labeled if image.sample and image.sample.label == label])
        for label in (0, 1)
    )
    if not len(good) or not len(bad):
        return None
    kinds = [image.sample.defect for image in labeled if image.sample and image.sample.label]
    found = metrics.image_metrics(good, bad, seed=seed)
    roc, precision = metrics.curve_bands(good, bad, seed=seed)
    by_defect = metrics.per_defect(good, bad, kinds, seed=seed)
    return {
        "auroc": found.auroc._asdict(),
        "average_precision": found.average_precision._asdict(),
        "fpr95": found.fpr95._asdict(),
        "roc_band": roc.round(4).tolist(),
        "precision_band": precision.round(4).tolist(),
        "per_defect": {name: value._asdict() for name, (value, _) in by_defect.items()},
    }
