"""Clusters that merge, pair by pair, along a graph of nearest neighbors: pure functions without chance.

Graph degree linkage (Zhang et al. 2012, arXiv:1208.5092) as JULE has it (Yang et al. 2016, arXiv:1604.03628).
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor

_CHUNK = 1024  # points at once, so that no matrix of all distances is ever in memory

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Graph(NamedTuple):
    """Edges from each of n points to its k nearest other points, nearest first; ``(n, k)`` each."""

    neighbors: Ints
    weights: Floats


def neighbor_graph(x: Tensor, k: int) -> Graph:
    """The graph of points ``(n, D)``, n at least 2; k is at most n - 1.

    The weight of an edge is exp(-d²/σ²), d its length and σ² the mean of all d².
    """
    x = x.float().nan_to_num(0.0, 0.0, 0.0)
    k = min(k, len(x) - 1)
    squares = x.square().sum(dim=1)
    lengths, places = [], []
    for start in range(0, len(x), _CHUNK):
        part = x[start : start + _CHUNK]
        distances = squares[start : start + _CHUNK, None] + squares - 2 * part @ x.T
        distances[torch.arange(len(part)), torch.arange(start, start + len(part))] = float("inf")
        nearest = distances.topk(k, dim=1, largest=False)
        lengths.append(nearest.values.clamp(min=0).cpu())
        places.append(nearest.indices.cpu())
    squared = torch.cat(lengths).double().numpy()
    return Graph(torch.cat(places).numpy(), np.exp(-squared / max(float(squared.mean()), 1e-12)))


def first_clusters(graph: Graph) -> Tensor:
    """Labels ``(n,)`` of small clusters: points that are joined by edges to the very nearest."""
    n = len(graph.neighbors)
    nearest = coo_matrix((np.ones(n), (np.arange(n), graph.neighbors[:, 0])), shape=(n, n))
    return torch.from_numpy(connected_components(nearest, directed=False)[1].astype(np.int64))


def merge_clusters(graph: Graph, labels: Tensor, count: int, locality: int) -> Tensor:
    """Labels ``(n,)`` after clusters of ``labels`` ``(n,)`` were merged, two at a time, to ``count`` of them.

    The affinity of clusters a and b is ``1ᵀ W_ab W_ba 1 / |a|² + 1ᵀ W_ba W_ab 1 / |b|²``; ``W_ab`` holds the
    weights of the edges from a to b. A cluster and the one of highest affinity to it are the next to merge
    where this affinity, plus its mean lead over those of the next ``locality - 1`` clusters, is highest.
    Clusters without affinity stay apart, so more than ``count`` may be left. Memory grows with the square of
    the number of clusters: some 150 MB for 3000, which 10 000 points have at first.
    """
    return torch.from_numpy(_Clusters(graph, labels.cpu().numpy()).merged(count, locality)).to(labels.device)


class _Clusters:
    """Clusters while they merge; those that are gone have no affinity to any."""

    def __init__(self, graph: Graph, labels: Ints) -> None:
        self.neighbors, self.weights = graph
        self.labels = np.unique(labels, return_inverse=True)[1].reshape(-1)
        order = np.argsort(self.labels, kind="stable")
        self.sizes = np.bincount(self.labels)
        self.members = np.split(order, np.cumsum(self.sizes)[:-1])
        self.left = len(self.sizes)
        self.links = np.stack([self._links_of(cluster) for cluster in range(self.left)])
        shares = self.links / np.square(self.sizes)[:, None]
        self.affinity = shares + shares.T

    def merged(self, count: int, locality: int) -> Ints:
        """Merge until ``count`` are left, or none has affinity to another; labels from 0 on."""
        scores = self._scores(np.arange(self.left), locality)
        while self.left > count:
            one = int(scores.argmax())
            if scores[one] <= 0:
                break
            other = int(self.affinity[one].argmax())
            changed = (self.affinity[one] > 0) | (self.affinity[other] > 0)
            self._merge(one, other)
            changed |= self.affinity[one] > 0
            if self.left <= locality:
                changed[:] = True
            rows = np.flatnonzero(changed)
            scores[rows] = self._scores(rows, locality)
        return np.unique(self.labels, return_inverse=True)[1].reshape(-1)

    def _scores(self, rows: Ints, locality: int) -> Floats:
        """How much each of the clusters ``rows`` asks to be merged."""
        nearest = max(1, min(locality, self.left - 1))
        highest = -np.sort(-self.affinity[rows], axis=1)[:, :nearest]
        best: Floats = highest[:, 0]
        return best if nearest == 1 else best + (best[:, None] - highest[:, 1:]).mean(axis=1)

    def _links_of(self, cluster: int) -> Floats:
        """``1ᵀ W_ab W_ba 1`` of a cluster a with all b: sums over points of b of weights there times back."""
        points = self.members[cluster]
        reached, place = np.unique(self.neighbors[points], return_inverse=True)
        coming = np.bincount(place.reshape(-1), self.weights[points].reshape(-1))
        back = self.labels[self.neighbors[reached]] == cluster
        going = (self.weights[reached] * back).sum(axis=1)
        links: Floats = np.bincount(self.labels[reached], coming * going, minlength=len(self.sizes)).astype(
            float
        )
        links[cluster] = 0
        return links

    def _merge(self, one: int, other: int) -> None:
        """``other`` becomes part of ``one``."""
        self.labels[self.members[other]] = one
        self.members[one] = np.concatenate([self.members[one], self.members[other]])
        self.members[other] = self.members[other][:0]
        self.sizes[one] += self.sizes[other]
        self.left -= 1
        self.links[:, one] += self.links[:, other]  # the sum over points of b is that of its parts
        self.links[one] = self._links_of(one)
        self.links[one, one] = 0
        self.links[other] = self.links[:, other] = 0
        self.affinity[other] = self.affinity[:, other] = 0
        row = self.links[one] / self.sizes[one] ** 2 + self.links[:, one] / np.square(self.sizes)
        row[other] = 0
        self.affinity[one] = self.affinity[:, one] = row
