"""How far a few labels go: episodes (Snell et al. 2017, arXiv:1703.05175), and n labels of every class."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from onlygood.pretrain.data.labels import LabeledSet
from onlygood.pretrain.probe.features import Pool, Setup, scaled
from onlygood.pretrain.probe.logistic import fit
from onlygood.pretrain.probe.result import Measurement, mean_row
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.strict import Strict

_AT_ONCE = 20  # episodes


class FewShotConfig(Strict):
    """Episodes of ``ways`` classes drawn anew each, and all classes with ``labels`` labels each.

    Examples come from the training images and questions from the test images. Features are standardized with
    the deviations of all training images, which needs no labels.
    """

    pool: Pool = "mean"
    dimensions: int = Field(default=9000, ge=1)  # of max-pooled features, about
    ways: int = Field(default=5, ge=2)
    shots: list[int] = Field(default=[5, 20, 50])  # labels of each class in an episode
    episodes: int = Field(default=600, ge=2)
    queries: int = Field(default=15, ge=1)  # of each class; fewer where a class has fewer test images
    labels: list[int] = Field(default=[1, 5, 10, 20, 100])  # of each class
    repeats: int = Field(default=10, ge=2)  # how often these labels are drawn
    strength: float = Field(default=1.0, gt=0)  # C of the logistic regression; too few labels to tune it
    iterations: int = Field(default=1000, ge=1)


def few_shot(setup: Setup, config: FewShotConfig) -> list[Measurement]:
    """Mean accuracies with their intervals, for every stage; amounts that a class lacks are left out.

    All stages see the same draws. An interval is over draws of examples, for the given images.
    """
    data = setup.data
    least = int(np.bincount(data.train.labels, minlength=len(data.classes)).min())
    tested = np.unique(data.test.labels)
    if config.shots and config.ways > len(tested):
        raise OnlygoodError(
            f"episodes of {config.ways} classes need as many, and {len(tested)} have test images: "
            f"set ways={len(tested)}"
        )
    skipped = sorted({n for n in (*config.shots, *config.labels) if n > least})
    if skipped:
        setup.say(f"the smallest class has {least} training images: {skipped} labels a class are left out")
    shots = [n for n in config.shots if n <= least]
    labels = [n for n in config.labels if n <= least]
    if not shots and not labels:
        raise OnlygoodError(
            f"the smallest class has {least} training images, fewer than any amount asked for"
        )
    rows: list[Measurement] = []
    for stage, *features in zip(
        setup.encoder.stages, *setup.both(config.pool, config.dimensions), strict=True
    ):
        train, test = scaled(*features)
        for n in shots:
            drawn = episodes(data, tested, n, config, setup.seed)
            values = [x for support, query in drawn for x in episode_accuracies(train[support], test[query])]
            rows.append(mean_row(stage, f"{config.ways}-way {n}-shot", values))
        for n in labels:
            rows += _labeled(setup, config, n, stage, [train, test])
        setup.say(
            f"stage {stage}: " + ", ".join(f"{r.measure} {r.value:.3f}" for r in rows if r.stage == stage)
        )
    return rows


def episodes(
    data: LabeledSet, classes: NDArray[np.int64], shots: int, config: FewShotConfig, seed: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Positions of examples ``(E, ways, shots)`` in train and of questions ``(E, ways, Q)`` in test."""
    rng = np.random.default_rng([seed, shots])
    ours = [np.flatnonzero(data.train.labels == label) for label in classes]
    theirs = [np.flatnonzero(data.test.labels == label) for label in classes]
    count = min(config.queries, *map(len, theirs))
    for start in range(0, config.episodes, _AT_ONCE):
        support, query = [], []
        for _ in range(min(_AT_ONCE, config.episodes - start)):
            ways = rng.choice(len(classes), config.ways, replace=False)
            support.append([rng.choice(ours[way], shots, replace=False) for way in ways])
            query.append([rng.choice(theirs[way], count, replace=False) for way in ways])
        yield torch.from_numpy(np.array(support)), torch.from_numpy(np.array(query))


def episode_accuracies(support: Tensor, query: Tensor) -> list[float]:
    """Share of right answers in each episode.

    ``support`` ``(E, W, S, D)`` gives a prototype for each class, its mean. Each of ``query`` ``(E, W, Q,
    D)`` goes to the nearest prototype in Euclidean distance.
    """
    ways = support.shape[1]
    distance = torch.cdist(query.flatten(1, 2), support.mean(dim=2))  # ``(E, W·Q, W)``
    truth = torch.arange(ways).repeat_interleave(query.shape[2])
    right: list[float] = (distance.argmin(dim=2) == truth).double().mean(dim=1).tolist()
    return right


def _labeled(
    setup: Setup, config: FewShotConfig, n: int, stage: int, features: list[Tensor]
) -> list[Measurement]:
    """``n`` labels of every class: nearest centroid and logistic regression, on all test images."""
    data, (train, test) = setup.data, features
    rng = np.random.default_rng([setup.seed, n, 1])
    present = np.unique(data.train.labels)
    truth = data.test.labels
    found: dict[str, list[float]] = {"centroid": [], "logistic": []}
    for _ in range(config.repeats):
        chosen = np.array(
            [rng.choice(np.flatnonzero(data.train.labels == y), n, replace=False) for y in present]
        )
        centroids = train[torch.from_numpy(chosen)].mean(dim=1)
        nearest = present[torch.cdist(test, centroids).argmin(dim=1).numpy()]
        found["centroid"].append(float((nearest == truth).mean()))
        picked = chosen.reshape(-1)
        model, _ = fit(None, train[picked], data.train.labels[picked], config.strength, config.iterations)
        found["logistic"].append(float((model.predict(test.numpy()) == truth).mean()))
    unit = "label" if n == 1 else "labels"
    return [mean_row(stage, f"{n} {unit}, {name}", values) for name, values in found.items()]
