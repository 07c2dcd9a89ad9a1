"""The methods of `one_class.py`, named as their recipes, and what their papers report.

Nothing here was chosen by labels but on the development classes: pullover, coat and shirt of Fashion-MNIST,
bird and cat of CIFAR-10.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DEVELOPMENT = {"fashion-mnist": ("pullover", "coat", "shirt"), "cifar10": ("bird", "cat")}

# DROC's and CSI's random views, but that blur is left out (in DROC it does nothing in training).
CROP_AND_COLOR: dict[str, Any] = {
    "scale": [0.25, 1.0],
    "brightness": 0.4,
    "contrast": 0.4,
    "saturation": 0.4,
    "hue": 0.1,
    "gray": 0.2,
}
SGD: dict[str, Any] = {"batch_size": 64, "lr": 0.05, "weight_decay": 3e-4}
FEATURES = ("kde", "gaussian", "knn")


@dataclass(frozen=True)
class Method:
    """A pretext task on an encoder, how it is trained, and the heads that score it; the paper's is first.

    Each image of a batch goes through the encoder ``passes`` times. ``task`` None trains nothing.
    """

    task: str | None
    heads: tuple[str, ...]
    passes: int = 1
    encoder: str = "small"
    options: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=lambda: SGD)


METHODS = {
    "untrained": Method(None, FEATURES),
    "deep-svdd": Method(
        "svdd",
        ("centre", *FEATURES),
        encoder="lenet",
        training={"optimizer": "adamw", "batch_size": 200, "lr": 1e-4, "weight_decay": 5e-7},
    ),
    "deep-svdd-soft": Method(
        "svdd",
        ("centre", *FEATURES),
        encoder="lenet",
        options={"objective": "soft-boundary"},
        training={"optimizer": "adamw", "batch_size": 200, "lr": 1e-4, "weight_decay": 5e-7},
    ),
    "rotnet": Method("rotation", ("logprob", *FEATURES), passes=4),
    "droc-rotation": Method(
        "rotation",
        (*FEATURES, "logprob"),
        passes=4,
        options={"layers": 7, "own_views": True, "views": CROP_AND_COLOR},
    ),
    "geom": Method("geometric", ("logprob", *FEATURES), passes=8, training=SGD | {"batch_size": 32}),
    "multi-head-rotation": Method(
        "multi-head-rotation", ("logprob", *FEATURES), passes=8, training=SGD | {"batch_size": 32}
    ),
    "goad": Method("goad", FEATURES, passes=8, training=SGD | {"batch_size": 32}),
    "simclr": Method("simclr", FEATURES, passes=2, training=SGD | {"batch_size": 128}),
    "droc-contrastive": Method(
        "contrastive-da", FEATURES, passes=2, options={"turns": False}, training=SGD | {"batch_size": 128}
    ),
    "droc-contrastive-da": Method("contrastive-da", FEATURES, passes=8, training=SGD | {"batch_size": 32}),
    "csi": Method("csi", (*FEATURES, "logprob"), passes=8, training=SGD | {"batch_size": 32}),
}

# Mean one-class AUROC over ten classes, in percent, by the head that the paper takes.
PAPERS: dict[str, dict[str, tuple[float, str]]] = {
    "cifar10": {
        "deep-svdd": (64.8, "Ruff et al. 2018"),
        "deep-svdd-soft": (63.3, "Ruff et al. 2018"),
        "rotnet": (86.8, "DROC's table, classifier"),
        "droc-rotation": (91.3, "DROC, KDE"),
        "geom": (86.0, "Golan & El-Yaniv 2018"),
        "multi-head-rotation": (90.1, "Hendrycks et al. 2019"),
        "goad": (88.2, "Bergman & Hoshen 2020"),
        "simclr": (87.9, "CSI's table"),
        "droc-contrastive": (89.0, "DROC, OC-SVM"),
        "droc-contrastive-da": (92.5, "DROC, OC-SVM"),
        "csi": (94.3, "Tack et al. 2020"),
    },
    "fashion-mnist": {
        "untrained": (89.4, "DROC's table, KDE"),
        "rotnet": (87.4, "DROC's table, classifier"),
        "droc-rotation": (95.8, "DROC, KDE"),
        "geom": (93.5, "Golan & El-Yaniv 2018"),
        "goad": (94.1, "Bergman & Hoshen 2020"),
        "droc-contrastive": (93.9, "DROC, OC-SVM"),
        "droc-contrastive-da": (94.8, "DROC, OC-SVM"),
    },
}
