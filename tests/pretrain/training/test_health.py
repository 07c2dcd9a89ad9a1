import math

import pytest
import torch

from onlygood.pretrain.training.health import diagnose

VARIED = torch.eye(4)


def log(losses: list[float], accuracies: list[float] | None = None) -> list[dict[str, float]]:
    rows = []
    for i, loss in enumerate(losses):
        row = {"step": 10.0 * (i + 1), "progress": (i + 1) / len(losses), "loss": loss}
        rows.append(row | ({"accuracy": accuracies[i]} if accuracies else {}))
    return rows


def test_a_healthy_run_has_no_warnings() -> None:
    rows = log([1.4, 1.2, 1.0, 0.8, 0.6, 0.5, 0.4, 0.4, 0.3, 0.3], [0.25, 0.4, *[0.8] * 8])
    assert diagnose(rows, 4, 32, VARIED) == []
    assert diagnose(log([3.0, 2.0]), None, 32, VARIED) == []
    assert diagnose([], 4, 32, VARIED) == []


def test_chance_accuracy_is_named_with_the_chance() -> None:
    (warning,) = diagnose(log([1.39] * 20, [0.25] * 20), 4, 32, VARIED)
    assert "25.0%" in warning
    assert "learned nothing" in warning


def test_of_many_classes_twice_as_often_as_guessed_is_more_than_nothing() -> None:
    few, some = (log([6.0] * 20, [share] * 20) for share in (0.0015, 0.0035))
    assert "learned nothing" in diagnose(few, 1000, 512, VARIED)[0]
    assert diagnose(some, 1000, 512, VARIED) == []


def test_only_the_end_of_training_counts() -> None:
    slow = [*[0.25] * 18, 0.9, 0.9]
    assert diagnose(log([1.0] * 20, slow), 4, 32, VARIED) == []
    (warning,) = diagnose(log([1.0] * 20, slow[::-1]), 4, 32, VARIED)
    assert "learned nothing" in warning


def test_few_images_make_chance_uncertain() -> None:
    # 40 steps of 1 image: 35 % of the last four says nothing; 40 steps of 1000 images: it does.
    rows = log([1.3] * 4, [0.35] * 4)
    assert diagnose(rows, 4, 1, VARIED) != []
    assert diagnose(rows, 4, 1000, VARIED) == []


def test_loss_no_better_than_guessing() -> None:
    assert diagnose(log([2.0, math.log(4) - 0.1]), 4, 32, VARIED) == []
    (warning,) = diagnose(log([2.0, math.log(4) + 0.1]), 4, 32, VARIED)
    assert "log 4 = 1.386" in warning


def test_other_terms_of_the_loss_do_not_count() -> None:
    rows = [row | {"cross_entropy": 1.0} for row in log([2.0, 1.9])]
    assert diagnose(rows, 4, 32, VARIED) == []
    rows[-1]["cross_entropy"] = 1.5
    assert len(diagnose(rows, 4, 32, VARIED)) == 1


def test_solved_early_is_too_easy_and_solved_late_is_not() -> None:
    (warning,) = diagnose(log([0.1] * 20, [0.5, *[0.995] * 19]), 4, 32, VARIED)
    assert "step 20" in warning
    assert "too easy" in warning
    assert diagnose(log([0.1] * 20, [*[0.5] * 3, *[0.995] * 17]), 4, 32, VARIED) == []


def test_collapsed_features() -> None:
    same = torch.ones(8, 16) + 1e-4 * torch.randn(8, 16, generator=torch.Generator().manual_seed(0))
    (warning,) = diagnose(log([0.1]), None, 32, same)
    assert "collapsed" in warning
    assert diagnose(log([0.1]), None, 32, same[:1]) == []


@pytest.mark.parametrize(("end", "collapsed"), [(0.02, True), (0.5, False)])
def test_collapsed_embeddings_are_named(end: float, collapsed: bool) -> None:
    """The encoder may still tell images apart when the projections no longer do."""
    rows = log([0.0, -0.5, -1.0])
    for row, value in zip(rows, (0.02, 0.6, end), strict=True):
        row["embedding_spread"] = value
    warnings = diagnose(rows, None, 32, VARIED)
    assert ["embeddings have collapsed" in warning for warning in warnings] == [True] * collapsed
