"""Clusters that merge: the graph by hand, every merge as by the formulas, and what must stay apart."""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tiny import generator
from torch import Tensor

from onlygood.pretrain.losses.agglomeration import Graph, first_clusters, merge_clusters, neighbor_graph
from onlygood.pretrain.losses.clustering import nmi


def dense(graph: Graph) -> NDArray[np.float64]:
    """All weights ``(n, n)``."""
    n, k = graph.neighbors.shape
    weights = np.zeros((n, n))
    weights[np.repeat(np.arange(n), k), graph.neighbors.ravel()] = graph.weights.ravel()
    return weights


def affinity(weights: NDArray[np.float64], labels: list[int], a: int, b: int) -> float:
    """As the paper writes it."""
    one, other = ([i for i, label in enumerate(labels) if label == c] for c in (a, b))
    there, back = weights[np.ix_(one, other)], weights[np.ix_(other, one)]
    return float((there @ back).sum() / len(one) ** 2 + (back @ there).sum() / len(other) ** 2)


def merge_one(weights: NDArray[np.float64], labels: list[int], locality: int) -> list[int]:
    """The labels after the merge that the paper asks for."""
    names = sorted(set(labels))
    best = (-1.0, 0, 0)
    for a in names:
        others = sorted(((affinity(weights, labels, a, b), b) for b in names if b != a), reverse=True)
        nearest = others[:locality]
        leads = [nearest[0][0] - value for value, _ in nearest[1:]]
        best = max(best, (nearest[0][0] + (sum(leads) / len(leads) if leads else 0), a, nearest[0][1]))
    _, a, b = best
    return [a if label == b else label for label in labels]


def same(labels: Tensor, other: list[int]) -> bool:
    """Whether two labelings are the same up to names."""
    return len(set(zip(labels.tolist(), other, strict=True))) == len(set(other)) == int(labels.max()) + 1


def test_the_graph_by_hand() -> None:
    """Points at 0, 1 and 3: squared edges to the nearest are 1, 1 and 4, of mean 2."""
    graph = neighbor_graph(torch.tensor([[0.0], [1.0], [3.0]]), 1)
    assert graph.neighbors.tolist() == [[1], [0], [1]]
    assert graph.weights.ravel() == pytest.approx([math.exp(-0.5), math.exp(-0.5), math.exp(-2)])


def test_the_graph_in_parts_and_of_points_that_coincide(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(50, 3, generator=generator())
    whole = neighbor_graph(x, 7)
    monkeypatch.setattr("onlygood.pretrain.losses.agglomeration._CHUNK", 8)
    assert np.array_equal(neighbor_graph(x, 7).neighbors, whole.neighbors)
    distances = torch.cdist(x, x).fill_diagonal_(math.inf)
    assert np.array_equal(whole.neighbors, distances.topk(7, largest=False).indices.numpy())
    assert neighbor_graph(torch.zeros(4, 2), 9).weights.tolist() == [[1, 1, 1]] * 4


def test_first_clusters_follow_the_nearest() -> None:
    """On a line: 0, 1 and 3 hang together by their nearest, 10 and 11 too."""
    labels = first_clusters(neighbor_graph(torch.tensor([[0.0], [10.0], [1.0], [11.0], [3.0]]), 2))
    assert labels.tolist() == [0, 1, 0, 1, 0]


@pytest.mark.parametrize("locality", [1, 3])
def test_every_merge_is_the_one_of_the_formulas(locality: int) -> None:
    graph = neighbor_graph(torch.randn(40, 2, generator=generator()), 6)
    start = first_clusters(graph)
    weights, labels = dense(graph), start.tolist()
    count = len(set(labels))
    assert count > 6
    while count > 2:
        labels, count = merge_one(weights, labels, locality), count - 1
        assert same(merge_clusters(graph, start, count, locality), labels)


def test_merging_goes_on_where_it_was() -> None:
    """In one go, or with labels of other names in between."""
    graph = neighbor_graph(torch.randn(60, 3, generator=generator(1)), 8)
    start = first_clusters(graph)
    half = merge_clusters(graph, start, 8, 3)
    again = merge_clusters(graph, 3 * half.max() - 2 * half, 4, 3)
    assert same(again, merge_clusters(graph, start, 4, 3).tolist())


def test_blobs_are_found_and_do_not_merge_without_an_edge() -> None:
    kinds = torch.arange(5).repeat_interleave(torch.tensor([60, 30, 20, 20, 10]))
    x = 10 * torch.eye(5)[kinds] + torch.randn(140, 5, generator=generator())
    graph = neighbor_graph(x, 8)
    for wanted in (5, 2):
        labels = merge_clusters(graph, first_clusters(graph), wanted, 5)
        assert nmi(labels, kinds) == pytest.approx(1)
        assert labels.max() == 4
