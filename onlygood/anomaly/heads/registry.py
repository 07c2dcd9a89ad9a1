"""One-class heads by name: a new head is one new file and one entry here, or an entry point of your package.

This module imports no head and no torch, so that recipes are checked fast.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, model_validator

from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.nearest import nearest
from onlygood.runtime.registry import Entry, Registry
from onlygood.runtime.strict import Strict

if TYPE_CHECKING:
    from onlygood.anomaly.heads.base import Head
    from onlygood.pretrain.tasks.base import Task


@dataclass(frozen=True)
class HeadEntry(Entry):
    """Where a head is (``module:Class``), and the paper that it follows."""

    paper: str


_HERE = "onlygood.anomaly.heads"

_OWN = {
    "logprob": HeadEntry(f"{_HERE}.logprob:LogProbability", "Hendrycks et al. 2019, arXiv:1906.12340"),
    "probability": HeadEntry(f"{_HERE}.logprob:Probability", "GEOM, Golan & El-Yaniv 2018, arXiv:1805.10917"),
    "dirichlet": HeadEntry(f"{_HERE}.dirichlet:Dirichlet", "GEOM, Golan & El-Yaniv 2018, arXiv:1805.10917"),
    "dense": HeadEntry(f"{_HERE}.dense:DenseProbability", "NSA, Schlüter et al. 2022, arXiv:2109.15222"),
    "reconstruction": HeadEntry(
        f"{_HERE}.dense:ReconstructionError", "Bergmann et al. 2019, arXiv:1807.02011"
    ),
    "centre": HeadEntry(f"{_HERE}.center:CenterDistance", "Deep SVDD, Ruff et al. 2018"),
    "gaussian": HeadEntry(
        f"{_HERE}.gaussian:Gaussian", "Ledoit & Wolf 2004; Rippel et al. 2021, arXiv:2005.14140"
    ),
    "padim": HeadEntry(f"{_HERE}.padim:PaDiM", "PaDiM, Defard et al. 2021, arXiv:2011.08785"),
    "ssd": HeadEntry(f"{_HERE}.ssd:ClusterGaussians", "SSD, Sehwag et al. 2021, arXiv:2103.12051"),
    "knn": HeadEntry(f"{_HERE}.knn:NearestNeighbors", "PatchCore, Roth et al. 2022, arXiv:2106.08265"),
    "kde": HeadEntry(f"{_HERE}.kernels:KernelDensity", "DROC, Sohn et al. 2021, arXiv:2011.02578"),
    "ocsvm": HeadEntry(
        f"{_HERE}.kernels:OneClassSVM", "Schölkopf et al. 2001; DROC, Sohn et al. 2021, arXiv:2011.02578"
    ),
    "csi": HeadEntry(f"{_HERE}.csi:CSI", "CSI, Tack et al. 2020, arXiv:2007.08176"),
    "goad": HeadEntry(f"{_HERE}.goad:GOAD", "GOAD, Bergman & Hoshen 2020, arXiv:2005.02359"),
}

HEADS: Registry[HeadEntry] = Registry("onlygood.heads", "head", _OWN)


class HeadConfig(Strict):
    """One head, or several of which the mean is taken; ``options`` holds those of each by its name."""

    names: list[str] = Field(default=["gaussian"], min_length=1)
    options: dict[str, dict[str, Any]] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _read_older_keys(cls, values: Any) -> Any:
        """Read older recipes, where ``size`` and ``neighbours`` of knn are keys beside ``names``."""
        if not isinstance(values, dict) or not {"size", "neighbours"} & values.keys():
            return values
        kept = {key: value for key, value in values.items() if key not in ("size", "neighbours")}
        if "knn" in kept.get("names", []):
            older = {"size": "size", "neighbours": "neighbors"}
            options = dict(kept.get("options", {}))
            moved = {new: values[old] for old, new in older.items() if old in values}
            kept["options"] = options | {"knn": moved | options.get("knn", {})}
        return kept

    @model_validator(mode="after")
    def _all_exist(self) -> Self:
        for name in self.names:
            if name not in HEADS:
                raise ValueError(f"no head {name!r}; {nearest(name, HEADS)}")
        for name in self.options.keys() - set(self.names):
            raise ValueError(
                f"options of {name!r}, which is not among the heads; {nearest(name, self.names)}"
            )
        return self


def create_head(config: HeadConfig, dim: int, task: "Task | None" = None) -> "Head":
    """An unfitted head, or ensemble, for features of ``dim`` values; ``task`` is the trained task.

    Raises:
        OnlygoodError: a head does not have an option, or the task lacks what a head needs.
    """
    from onlygood.anomaly.heads.ensemble import Ensemble  # noqa: PLC0415

    heads: list[Head] = []
    for name in config.names:
        kind: type[Head] = HEADS.find(name).load()
        options = kind.Config.parse(config.options.get(name, {}), f"options of head {name!r}")
        head = kind(dim, options)
        if task is not None:
            _check_needs(name, head, task)
            head.prepare(task)
        heads.append(head)
    return heads[0] if len(heads) == 1 else Ensemble(heads)


def _check_needs(name: str, head: "Head", task: "Task") -> None:
    """Check that the task gives what a head reads."""
    lacks = {
        "logits": (task.view_classifier is None, "a classifier of its views, such as defects or rotation"),
        "restored": (not task.restores, "a reconstruction, such as denoising"),
        "dense": (not task.locates, "a map of defects, such as defects or nsa"),
    }
    if task.test_views.count < head.least_views:
        raise OnlygoodError(
            f"the head {name!r} needs a pretext task with several test views, such as goad or rotation"
        )
    for kind in sorted(head.reads & lacks.keys()):
        lacking, what = lacks[kind]
        if lacking:
            raise OnlygoodError(f"the head {name!r} needs a pretext task with {what}")
