"""The methods of `one_class.py`, named as their recipes, and what their papers report.

Nothing here was chosen by labels but on the development classes: T-shirt, pullover, coat and shirt of
Fashion-MNIST, bird and cat of CIFAR-10.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DEVELOPMENT = {"fashion-mnist": ("t-shirt", "pullover", "coat", "shirt"), "cifar10": ("bird", "cat")}

PLAIN: dict[str, Any] = {"flip": False}  # the image as it is
# Small batches: at one budget of views, more steps.
SGD: dict[str, Any] = {"batch_size": 16, "lr": 0.03, "weight_decay": 3e-4}
PAIRS = SGD | {"batch_size": 64}
FEATURES = ("kde", "ocsvm", "gaussian", "knn", "ssd")
CONTRASTIVE = ("ocsvm", "kde", "gaussian", "knn", "ssd")
LOGITS = ("logprob", "probability")


@dataclass(frozen=True)
class Method:
    """A pretext task on an encoder, how it is trained, and the heads that score it; the paper's is first.

    Each image of a batch goes through the encoder ``passes`` times. ``task`` None trains nothing.
    """

    task: str | None
    heads: tuple[str, ...]
    passes: int = 1
    encoder: str = "small-32"
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
    "rotnet": Method("rotation", (*LOGITS, *FEATURES), passes=4),
    "droc-rotation": Method(
        "rotation",
        (*FEATURES, *LOGITS),
        passes=4,
        options={"layers": 2, "views": PLAIN},
    ),
    "geom": Method("geometric", ("dirichlet", *LOGITS, *FEATURES), passes=8),
    "multi-head-rotation": Method("multi-head-rotation", (*LOGITS, *FEATURES), passes=8),
    "goad": Method("goad", ("goad", *FEATURES), passes=8),
    "simclr": Method("simclr", CONTRASTIVE, passes=2, training=PAIRS),
    "droc-contrastive": Method(
        "contrastive-da", CONTRASTIVE, passes=2, options={"turns": False}, training=PAIRS
    ),
    "droc-contrastive-da": Method("contrastive-da", CONTRASTIVE, passes=8),
    "csi": Method("csi", ("csi", *LOGITS, *FEATURES), passes=8),
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
