"""What a training log says about the features, in plain words.

A pretext task can fail silently: it can stay at chance, be solved by a shortcut within a few steps, or be
satisfied by features that are the same for every image.
"""

import math
from collections.abc import Sequence

from torch import Tensor

from onlygood.pretrain.losses.measures import spread

EARLY = 0.1  # share of training in which a solved task is suspicious
SOLVED = 0.99  # pretext accuracy
CHANCE_MARGIN = 0.05  # share of the way from chance to perfect
COLLAPSED = 0.01  # of the spread of features that fill the sphere
EMBEDDINGS_COLLAPSED = 0.1  # likewise; those of healthy trainings in our tests stay above 0.4


def diagnose(
    rows: Sequence[dict[str, float]], classes: int | None, batch_size: int, features: Tensor
) -> list[str]:
    """Warnings about a finished training.

    ``rows`` are those of the log (``step``, ``progress``, ``loss``; where a task gives them, ``accuracy``,
    ``cross_entropy``, ``embedding_spread``). ``classes`` is the K of a K-way pretext task. ``features`` ``(N,
    D)`` are those of some training images.
    """
    warnings = []
    graded = [row for row in rows if "accuracy" in row]
    if classes is not None and rows:
        warnings += _chance(rows, graded, classes, batch_size)
    solved = next((row for row in graded if row["accuracy"] >= SOLVED), None)
    if solved is not None and solved["progress"] <= EARLY:
        warnings.append(
            f"the pretext task was solved ({solved['accuracy']:.0%}) at step {solved['step']:.0f}, after "
            f"{solved['progress']:.0%} of training: it is too easy for these images, or given away by a "
            "shortcut (borders, watermarks, lighting), so the features may be poor; use a harder task or "
            "stronger views"
        )
    embedded = [row["embedding_spread"] for row in rows if "embedding_spread" in row]
    if embedded and embedded[-1] < EMBEDDINGS_COLLAPSED:
        warnings.append(
            f"the embeddings have collapsed (spread {embedded[-1]:.1e} of 1): the objective is met by saying "
            "the same of every image; lower the learning rate, or use larger batches or another task"
        )
    if len(features) > 1 and (value := float(spread(features))) < COLLAPSED:
        warnings.append(
            f"the features have collapsed: all images are nearly the same to the encoder (spread {value:.1e} "
            "of 1); lower the learning rate, or check that the images are not all identical"
        )
    return warnings


def _chance(
    rows: Sequence[dict[str, float]], graded: Sequence[dict[str, float]], classes: int, batch_size: int
) -> list[str]:
    """Compare the last tenth of training with guessing: accuracy 1/K, cross entropy log K."""
    chance, guess = 1 / classes, math.log(classes)
    last = rows[-1]["step"]
    tail = [row for row in graded if row["step"] > 0.9 * last]
    if tail:
        accuracy = sum(row["accuracy"] for row in tail) / len(tail)
        noise = 3 * math.sqrt(chance * (1 - chance) / (batch_size * max(1.0, 0.1 * last)))
        margin = min(CHANCE_MARGIN * (1 - chance), chance)  # with many classes, twice the chance is a lot
        if accuracy <= chance + max(noise, margin):
            return [
                f"pretext accuracy ended at {accuracy:.1%}, and guessing gives {chance:.1%}: the encoder "
                "learned nothing from this task; train longer, change the learning rate, or choose a task "
                "that these images allow (rotation, for example, cannot be told on round objects)"
            ]
    loss = rows[-1].get("cross_entropy", rows[-1]["loss"])
    if loss >= guess:
        return [
            f"the loss ended at {loss:.3f}, no better than guessing (log {classes} = {guess:.3f}): "
            "the learning rate may be too high; try a third of it or a longer warm-up"
        ]
    return []
