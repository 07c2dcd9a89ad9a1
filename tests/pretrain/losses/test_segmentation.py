"""Cells of masks: shares, their loss at its ends and by hand, and how far they overlap."""

import math

import pytest
import torch
from tiny import generator

from onlygood.pretrain.losses.segmentation import cell_cross_entropy, cell_iou, shares


def test_shares_are_of_what_is_known() -> None:
    """Two cells of 2 × 2 pixels: one of which half is known, one of which nothing is."""
    marked = torch.tensor([[[1, 0, 0, 0], [0, 0, 0, 0]]], dtype=torch.bool)
    known = torch.tensor([[[1, 1, 0, 0], [0, 0, 0, 0]]], dtype=torch.bool)
    share, weight = shares(marked, known, (1, 2))
    assert share.tolist() == [[[0.5, 0.0]]]
    assert weight.tolist() == [[[0.5, 0.0]]]


def test_cross_entropy_by_hand() -> None:
    logits = torch.tensor([[[0.0, math.log(3), -50.0]]])
    share, weight = torch.tensor([[[0.25, 1.0, 1.0]]]), torch.tensor([[[1.0, 0.5, 0.0]]])
    expected = (math.log(2) + 0.5 * math.log(4 / 3)) / 1.5
    assert cell_cross_entropy(logits, share, weight).item() == pytest.approx(expected)


def test_one_answer_for_all_costs_the_entropy_at_least() -> None:
    share = (torch.rand(9, 4, 4, generator=generator()) < 0.2).float()
    p = share.mean().item()
    entropy = -p * math.log(p) - (1 - p) * math.log(1 - p)
    costs = [
        cell_cross_entropy(torch.full((9, 4, 4), x / 10), share, torch.ones(9, 4, 4)) for x in range(-40, 10)
    ]
    assert min(costs).item() == pytest.approx(entropy, abs=1e-3)


def test_nothing_known_costs_nothing() -> None:
    nothing = torch.zeros(2, 3, 3)
    assert cell_cross_entropy(torch.ones(2, 3, 3), nothing, nothing) == 0


def test_overlap_by_hand() -> None:
    logits = torch.tensor([[[1.0, 1.0, -1.0, -1.0]]])
    share, weight = torch.tensor([[[0.9, 0.1, 0.8, 0.2]]]), torch.tensor([[[1.0, 1.0, 0.5, 1.0]]])
    assert cell_iou(logits, share, weight).item() == pytest.approx(1 / 2.5, rel=1e-4)
    assert cell_iou(-torch.ones(1, 2, 2), torch.zeros(1, 2, 2), torch.ones(1, 2, 2)) == 1
