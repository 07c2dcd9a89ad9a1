"""The losses of BYOL, SimSiam and Patch SVDD, by hand and recomputed."""

import math

import torch

from onlygood.pretrain.losses.regression import cosine_distance, mean_distance, simsiam


def test_cosine_distance_by_hand() -> None:
    p = torch.tensor([[3.0, 0.0], [1.0, 1.0], [2.0, 0.0]])
    z = torch.tensor([[5.0, 0.0], [1.0, 0.0], [-1.0, 0.0]])
    expected = (0 + (2 - math.sqrt(2)) + 4) / 3
    torch.testing.assert_close(cosine_distance(p, z), torch.tensor(expected))


def test_mean_distance_by_hand_and_where_rows_are_equal() -> None:
    a = torch.tensor([[3.0, 4.0], [1.0, 1.0]], requires_grad=True)
    loss = mean_distance(a, torch.tensor([[0.0, 0.0], [1.0, 1.0]]))
    assert loss.item() == 2.5
    torch.autograd.backward(loss)
    torch.testing.assert_close(a.grad, torch.tensor([[0.3, 0.4], [0.0, 0.0]]))


def test_simsiam_recomputed() -> None:
    p1, p2, z1, z2 = torch.randn(4, 5, 7, generator=torch.Generator().manual_seed(0))
    expected = 0.0
    for i in range(5):
        for p, z in ((p1[i], z2[i]), (p2[i], z1[i])):
            expected -= float(p @ z / (p.norm() * z.norm())) / 10
    torch.testing.assert_close(simsiam(p1, p2, z1, z2), torch.tensor(expected))
    torch.testing.assert_close(simsiam(z1, z2, z2, z1), torch.tensor(-1.0))


def test_no_gradient_through_the_embeddings() -> None:
    rng = torch.Generator().manual_seed(0)
    p1, p2, z1, z2 = (torch.randn(5, 7, generator=rng).requires_grad_() for _ in range(4))
    torch.autograd.backward(simsiam(p1, p2, z1, z2))
    assert p1.grad is not None
    assert p1.grad.any()
    assert z1.grad is None
