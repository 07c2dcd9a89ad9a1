"""The risk of positive-unlabelled learning: by hand, as what it estimates, and where it stops."""

import math

import pytest
import torch
from torch import Tensor

from onlygood.pretrain.losses.pu import doubt_weights, non_negative_pu


def logits(*probabilities: float) -> Tensor:
    return torch.logit(torch.tensor(probabilities))


def test_by_hand() -> None:
    """Members cost (.25 + .0625) / 2, and .40625 as others; the mixture costs .3125 as others."""
    risk = non_negative_pu(logits(0.5, 0.75), logits(0.75, 0.25), 0.4)
    assert risk.item() == pytest.approx(0.4 * 0.15625 + 0.3125 - 0.4 * 0.40625)


def test_of_a_mixture_it_is_the_risk_that_labels_would_give() -> None:
    rng = torch.Generator().manual_seed(0)
    members, others = torch.randn(6, generator=rng), torch.randn(9, generator=rng)
    known = (1 - members.sigmoid()).square().sum() + others.sigmoid().square().sum()
    risk = non_negative_pu(members, torch.cat([members, others]), 6 / 15)
    torch.testing.assert_close(risk, known / 15)


@pytest.mark.parametrize(("unlabeled", "negative"), [(0.1, True), (0.6, False)])
def test_what_others_cost_is_never_negative(unlabeled: float, *, negative: bool) -> None:
    """Sure of all members, the mixture must cost 0.2 as others: below, it is left alone."""
    u = logits(unlabeled).requires_grad_()
    risk = non_negative_pu(logits(1 - 1e-7), u, 0.2)
    assert risk.item() == pytest.approx(0 if negative else 0.36 - 0.2, abs=1e-5)
    (slope,) = torch.autograd.grad(risk, u)
    assert (slope.item() == 0) == negative


@pytest.mark.parametrize("prior", [0.1, 0.5, 0.8])
def test_least_at_the_prior_where_members_and_mixture_look_the_same(prior: float) -> None:
    """So that the logit is of a probability; the sigmoid loss of the paper would have it 0 or 1."""
    guesses = [0.05 * n for n in range(1, 20)]
    risks = [non_negative_pu(logits(p), logits(p), prior).item() for p in guesses]
    assert guesses[risks.index(min(risks))] == pytest.approx(prior)


def test_members_are_found_in_the_mixture() -> None:
    """Three of ten look like members: they get probability 1, and the others 0."""
    z = torch.zeros(2, requires_grad=True)
    optimizer = torch.optim.SGD([z], 1.0, 0.9)
    for _ in range(300):
        optimizer.zero_grad()
        torch.autograd.backward(non_negative_pu(z[:1], z[[0] * 3 + [1] * 7], 0.3))
        optimizer.step()
    assert z.sigmoid().tolist() == pytest.approx([1, 0], abs=0.05)


def test_bfloat16_is_summed_in_float32() -> None:
    a, b = torch.full((1000,), 0.5), torch.full((3000,), -0.5)
    exact = non_negative_pu(a, b, 0.3)
    rounded = non_negative_pu(a.bfloat16(), b.bfloat16(), 0.3)
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, exact)


def test_doubt_by_hand() -> None:
    p = torch.tensor([0.0, 0.5, 1.0])
    assert doubt_weights(p, 2).tolist() == [1, 0.75, 0]
    assert doubt_weights(p, 0.5)[1].item() == pytest.approx(1 - math.sqrt(0.5))
