"""Multinomial logistic regression by L-BFGS on kept features; its C is chosen without the test images."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from onlygood.pretrain.probe.features import Pool, Setup, scaled
from onlygood.pretrain.probe.result import Measurement, accuracy_row
from onlygood.runtime.strict import Strict


class LogisticConfig(Strict):
    """``candidates`` values of C, log-spaced, tried on a held-out part of the training images."""

    pool: Pool = "mean"
    dimensions: int = Field(default=9000, ge=1)  # of max-pooled features, about
    candidates: int = Field(default=45, ge=1)
    smallest: float = Field(default=1e-6, gt=0)
    largest: float = Field(default=1e5, gt=0)
    validation: float = Field(default=0.2, gt=0, lt=1)  # share of the training images
    iterations: int = Field(default=1000, ge=1)  # of L-BFGS, at most


def logistic(setup: Setup, config: LogisticConfig) -> list[Measurement]:
    """Test accuracy for every stage, after a refit on all training images with the chosen C.

    Features are standardized with the deviations of the images that are trained on.
    """
    data = setup.data
    fitting, held = data.train.held_out(config.validation, setup.seed)
    is_held = np.isin(data.train.ids, held.ids)
    rows = []
    for stage, train, test in zip(
        setup.encoder.stages, *setup.both(config.pool, config.dimensions), strict=True
    ):
        inner, outer = (x.numpy() for x in scaled(train[~is_held], train[is_held]))
        strength, tried = choose(config, inner, fitting.labels, outer, held.labels)
        whole, unseen = scaled(train, test)
        model, converged = fit(None, whole, data.train.labels, strength, config.iterations)
        correct = int((model.predict(unseen.numpy()) == data.test.labels).sum())
        details = {"C": strength, "validation": tried, "converged": converged}
        rows.append(accuracy_row(stage, correct, len(data.test), details))
        setup.say(f"stage {stage}: C = {strength:.2g}, accuracy {rows[-1].value:.3f}")
    return rows


def choose(
    config: LogisticConfig,
    train: NDArray[np.float32],
    labels: NDArray[np.int64],
    held: NDArray[np.float32],
    truth: NDArray[np.int64],
) -> tuple[float, list[tuple[float, float]]]:
    """The C of the highest accuracy on ``held`` (the smallest of equals), and all (C, accuracy) tried.

    Each fit starts from the last, which is a little weaker: 45 fits take the time of a few.
    """
    model: LogisticRegression | None = None
    tried = []
    for strength in np.geomspace(config.smallest, config.largest, config.candidates).tolist():
        model, _ = fit(model, train, labels, strength, config.iterations)
        tried.append((strength, float((model.predict(held) == truth).mean())))
    return max(tried, key=lambda pair: pair[1])[0], tried


def fit(
    model: LogisticRegression | None,
    features: NDArray[np.float32] | Tensor,
    labels: NDArray[np.int64],
    strength: float,
    iterations: int,
) -> tuple[Any, bool]:
    """A fitted model, and whether L-BFGS came to its end; it starts from ``model`` if one is given."""
    if model is None:
        model = LogisticRegression(C=strength, max_iter=iterations, warm_start=True)
    model.set_params(C=strength)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(np.asarray(features), labels)
    return model, bool((model.n_iter_ < iterations).all())
