"""Kernel densities and the one-class support vector machine, on the unit sphere."""

from typing import Annotated, Literal, Self

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from onlygood.anomaly.heads.base import Head
from onlygood.anomaly.heads.coreset import some
from onlygood.anomaly.heads.outputs import Outputs
from onlygood.pretrain.losses.clustering import kmeans
from onlygood.runtime.strict import Strict

_PAIRS = 2_000  # rows between which the median distance is measured
_ROUNDS = 5  # of k-means, where a coreset is wanted


class KernelConfig(Strict):
    """The width of the kernel ``exp(-γ d²)``, and how many regions are kept.

    ``gamma``: "variance" is ``10 / (D · variance of all entries)`` (DROC, Sohn et al. 2021,
    arXiv:2011.02578), "median" is 1 over the median squared distance.
    """

    gamma: Literal["variance", "median"] | Annotated[float, Field(gt=0)] = "variance"
    size: int = Field(default=5000, ge=2)


class OneClassSVMConfig(KernelConfig):
    """``nu`` bounds the share of good regions that lie outside."""

    nu: float = Field(default=0.5, gt=0, le=1)


def kernel_width(unit: Tensor, rule: Literal["variance", "median"] | float) -> float:
    """γ for rows ``(n, D)`` of length 1."""
    if isinstance(rule, float):
        return rule
    if rule == "variance":
        return 10 / (unit.shape[1] * max(float(unit.double().var(correction=0)), 1e-12))
    few = some(unit, _PAIRS).double()
    squares = functional.pdist(few).square()
    return 1 / max(float(squares.median()) if len(squares) else 1.0, 1e-12)


class KernelDensity(Head):
    """Minus the logarithm of the density: ``-1/γ · ln Σ_i w_i exp(2 γ cos(x, x_i))``, as DROC writes it.

    (Sohn et al. 2021, arXiv:2011.02578.) Exact up to ``size`` regions; of more, as many centers of k-means
    stand for their clusters, each weighing as many regions as it has.
    """

    Config = KernelConfig
    config: KernelConfig
    bank: Tensor
    offset: Tensor
    gamma: Tensor

    def __init__(self, dim: int, config: KernelConfig | None = None) -> None:
        super().__init__(dim, config)
        self.register_buffer("bank", torch.zeros(1, dim))
        self.register_buffer("offset", torch.zeros(1))
        self.register_buffer("gamma", torch.ones(()))

    def fit(self, outputs: Outputs) -> Self:
        """Keep the regions, or centers of them, and choose γ."""
        x = some(functional.normalize(outputs.rows(), dim=1))
        self.gamma.fill_(kernel_width(x, self.config.gamma))
        count, size = len(x), self.config.size
        if count > size:
            rng = torch.Generator(x.device).manual_seed(0)
            labels, x = kmeans(x, size, rng, iterations=_ROUNDS, init="random", spherical=True)
            weights = torch.bincount(labels, minlength=len(x)).float()
        else:
            weights = torch.ones(count)
        self.bank, self.offset = x, (weights / count).log()
        return self

    def forward(self, outputs: Outputs) -> Tensor:
        """``(N, R)``."""
        x = functional.normalize(outputs.plain(), dim=2)
        return -torch.logsumexp(2 * self.gamma * (x @ self.bank.T) + self.offset, dim=2) / self.gamma


class OneClassSVM(Head):
    """Distance to the boundary of a one-class SVM, ``ρ - Σ_i α_i exp(-γ ‖x - x_i‖²)``.

    (Schölkopf et al. 2001.) Features have length 1 and γ follows DROC. scikit-learn finds the support
    vectors, of at most ``size`` regions, since its time grows with their square.
    """

    Config = OneClassSVMConfig
    config: OneClassSVMConfig
    bank: Tensor
    alphas: Tensor
    rho: Tensor
    gamma: Tensor

    def __init__(self, dim: int, config: OneClassSVMConfig | None = None) -> None:
        super().__init__(dim, config)
        self.register_buffer("bank", torch.zeros(1, dim))
        self.register_buffer("alphas", torch.zeros(1))
        self.register_buffer("rho", torch.zeros(()))
        self.register_buffer("gamma", torch.ones(()))

    def fit(self, outputs: Outputs) -> Self:
        """Find support vectors ``(M, D)`` and their weights."""
        from sklearn.svm import OneClassSVM as Solver  # noqa: PLC0415

        x = some(functional.normalize(outputs.rows(), dim=1), self.config.size)
        gamma = kernel_width(x, self.config.gamma)
        solver = Solver(kernel="rbf", gamma=gamma, nu=self.config.nu).fit(x.double().numpy())
        self.gamma.fill_(gamma)
        self.bank = x[torch.from_numpy(solver.support_).long()]
        self.alphas = torch.from_numpy(solver.dual_coef_[0]).float()
        self.rho.fill_(-float(solver.intercept_[0]))
        return self

    def forward(self, outputs: Outputs) -> Tensor:
        """``(N, R)``; above 0 outside."""
        x = functional.normalize(outputs.plain(), dim=2)
        return self.rho - torch.exp(2 * self.gamma * (x @ self.bank.T - 1)) @ self.alphas
