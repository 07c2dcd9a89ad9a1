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


class _Kernel(Head):
    """Features of length 1, of which the bank's mean ``middle`` is subtracted: or near ones would cancel."""

    config: KernelConfig
    bank: Tensor
    squares: Tensor
    middle: Tensor
    gamma: Tensor

    def __init__(self, dim: int, config: Strict | None = None) -> None:
        super().__init__(dim, config)
        self.register_buffer("bank", torch.zeros(1, dim))
        self.register_buffer("squares", torch.zeros(1))
        self.register_buffer("middle", torch.zeros(dim))
        self.register_buffer("gamma", torch.ones(()))

    def _remember(self, unit: Tensor) -> None:
        """Keep rows ``(M, D)`` of length 1."""
        self.middle = unit.mean(dim=0)
        self.bank = unit - self.middle
        self.squares = self.bank.square().sum(dim=1)

    def _exponents(self, outputs: Outputs) -> Tensor:
        """``γ ‖x - x_i‖²`` of each region and each row of the bank, ``(N, R, M)``."""
        x = functional.normalize(outputs.plain(), dim=2) - self.middle
        squares = x.square().sum(dim=2, keepdim=True) + self.squares - 2 * x @ self.bank.T
        return self.gamma * squares.clamp(min=0)


def _fall(u: Tensor) -> Tensor:
    """``1 - exp(-u)``, which keeps its digits where u is small."""
    return torch.tanh(u / 2) * (1 + torch.exp(-u))


class KernelDensity(_Kernel):
    """Minus the logarithm of the density: ``-1/γ · ln Σ_i w_i exp(-γ ‖x - x_i‖²)``, with weights of sum 1.

    (DROC, Sohn et al. 2021, arXiv:2011.02578, of which this is 2 more: there ``2 γ cos`` is the exponent,
    and what tells regions apart is rounded away where all are alike.) Exact up to ``size`` regions; of more,
    as many centers of k-means stand for their clusters, each weighing as many regions as it has.
    """

    Config = KernelConfig
    weights: Tensor

    def __init__(self, dim: int, config: KernelConfig | None = None) -> None:
        super().__init__(dim, config)
        self.register_buffer("weights", torch.ones(1))

    def fit(self, outputs: Outputs) -> Self:
        """Keep the regions, or centers of them, and choose γ."""
        x = some(functional.normalize(outputs.rows(), dim=1))
        self.gamma.fill_(kernel_width(x, self.config.gamma))
        count, size = len(x), self.config.size
        weights = torch.ones(count)
        if count > size:
            rng = torch.Generator(x.device).manual_seed(0)
            middle = x.mean(dim=0)
            labels, centers = kmeans(x - middle, size, rng, iterations=_ROUNDS, init="random")
            x = functional.normalize(centers + middle, dim=1)
            weights = torch.bincount(labels, minlength=len(x)).float()
        self._remember(x)
        self.weights = weights / count
        return self

    def forward(self, outputs: Outputs) -> Tensor:
        """``(N, R)``; about 0 where good regions lie densest."""
        u = self._exponents(outputs)
        lost = _fall(u) @ self.weights  # 1 less the density
        little = lost.clamp(max=0.5)
        near = functional.softplus(torch.log(little / (1 - little)))  # -ln(1 - lost), with all its digits
        far = -torch.logsumexp(self.weights.log() - u, dim=2)
        return torch.where(lost < 0.5, near, far) / self.gamma


class OneClassSVM(_Kernel):
    """Distance to the boundary of a one-class SVM, ``ρ - Σ_i α_i exp(-γ ‖x - x_i‖²)``.

    (Schölkopf et al. 2001.) Features have length 1 and γ follows DROC. scikit-learn finds the support
    vectors, of at most ``size`` regions, since its time grows with their square. The sum is taken over ``1 -
    exp(…)``: where regions are alike, ρ and the sum of the α are large and nearly equal.
    """

    Config = OneClassSVMConfig
    config: OneClassSVMConfig
    alphas: Tensor
    excess: Tensor

    def __init__(self, dim: int, config: OneClassSVMConfig | None = None) -> None:
        super().__init__(dim, config)
        self.register_buffer("alphas", torch.zeros(1))
        self.register_buffer("excess", torch.zeros(()))  # of ρ over the sum of the α

    def fit(self, outputs: Outputs) -> Self:
        """Find support vectors ``(M, D)`` and their weights.

        The solver sees ``1 - (1 - kernel) / s``, with s the mean of ``1 - kernel``, which changes no α: its
        tolerance is absolute, and of kernels that are all nearly 1 it would take the first guess.
        """
        from sklearn.svm import OneClassSVM as Solver  # noqa: PLC0415

        x = some(functional.normalize(outputs.rows(), dim=1), self.config.size)
        gamma = kernel_width(x, self.config.gamma)
        away = x.double() - x.double().mean(dim=0)
        falls = -torch.expm1(-gamma * torch.cdist(away, away).square())
        unit = float(falls.mean()) or 1.0
        solver = Solver(kernel="precomputed", nu=self.config.nu).fit((1 - falls / unit).numpy())
        alphas = solver.dual_coef_[0]
        self.gamma.fill_(gamma)
        self._remember(x[torch.from_numpy(solver.support_).long()])
        self.alphas = torch.from_numpy(alphas).float()
        self.excess.fill_(-unit * (float(solver.intercept_[0]) + float(alphas.sum())))
        return self

    def forward(self, outputs: Outputs) -> Tensor:
        """``(N, R)``; above 0 outside."""
        return self.excess + _fall(self._exponents(outputs)) @ self.alphas
