"""Which branches and heads make a score, and what each of them says, read from inside the model's graph.

Scores that are joined stand on one footing: 0 at the median of good images (or of their regions), 1 at their
99th percentile. Their names in the graph are those of the footings in the torch module.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onlygood.runtime.model.detector import Detector
from onlygood.runtime.model.inner import nodes_of, with_outputs
from onlygood.runtime.model.session import open_session

_FOOTING = re.compile(r"branches\.(\d+)\.(?:head\.footings\.(\d+)|footing)\.spread")
_TOLERANCE = 1e-3  # relative, between the score and what its terms make


@dataclass(frozen=True)
class Term:
    """What one of several says of an image."""

    label: str  # the head, and what it looks at
    value: float  # 0 as the middle of good ones, 1 as the 99th percentile


@dataclass(frozen=True)
class Breakdown:
    """All terms, the largest first, and how they become the score."""

    how: str  # "mean" or "max"
    terms: list[Term]


def breakdown(detector: Detector, pixels: NDArray[np.uint8]) -> Breakdown | None:
    """What makes the score of ``pixels`` ``(H, W, C)``.

    Where the joined map is pooled, each branch counts as it scores the places that make the score. None where
    there is one head alone, or where the terms do not make the score: then nothing is said rather than
    something wrong.
    """
    recipe = detector.metadata.recipe
    footings = _footings(detector.file.data)
    if not footings:
        return None
    session = open_session(with_outputs(detector.file.data, list(footings)))
    score, *outputs = session.run(["score", *footings], {"images": pixels[None]})
    values = {place: value[0] for place, value in zip(footings.values(), outputs, strict=True)}
    pooled = recipe.get("pool_joined")
    found = _at_the_top(recipe, values, pooled["top"]) if pooled else _of_branches(values)
    how = "max" if found and recipe.get("join") == "max" else "mean"
    if found:
        terms = [Term(_branch_label(recipe, branch), value) for branch, value in found.items()]
    elif {branch for branch, _ in footings.values()} == {0}:
        terms = _of_heads(recipe, values)
    else:
        return None
    said = [term.value for term in terms]
    whole = max(said) if how == "max" else sum(said) / len(said)
    if len(terms) < 2 or not np.isclose(whole, score[0], rtol=_TOLERANCE, atol=1e-6):
        return None
    return Breakdown(how, sorted(terms, key=lambda term: -term.value))


Place = tuple[int, int | None]  # the number of a branch, and of a head in it


def _footings(data: bytes) -> dict[str, Place]:
    """Names of values that were put on a footing, and whose they are."""
    found: dict[str, Place] = {}
    for node in nodes_of(data):
        if node.operator == "Div" and len(node.inputs) == 2 and (named := _FOOTING.fullmatch(node.inputs[1])):
            found[node.outputs[0]] = (int(named[1]), None if named[2] is None else int(named[2]))
    return found


def _of_branches(values: Mapping[Place, NDArray[np.float32]]) -> dict[int, float]:
    """The branches that give an image one value each."""
    return {branch: float(value) for (branch, _), value in values.items() if value.ndim == 0}


def _at_the_top(
    recipe: Mapping[str, Any], values: Mapping[Place, NDArray[np.float32]], top: int
) -> dict[int, float]:
    """The means of the branches' maps over the places that make the score: the highest of the joined map."""
    speaks = {number for number, branch in enumerate(recipe["branches"]) if branch["use"] != "heatmap"}
    maps = {
        branch: value.ravel() for (branch, head), value in values.items() if branch in speaks and head is None
    }
    if not maps:
        return {}
    joined = np.mean(list(maps.values()), axis=0)
    places = np.argsort(-joined, kind="stable")[:top]
    return {branch: float(each[places].mean()) for branch, each in maps.items()}


def _of_heads(recipe: Mapping[str, Any], regions: Mapping[Place, NDArray[np.float32]]) -> list[Term]:
    """Of one branch: the heads' mean over the regions that make the image's score, those of highest mean."""
    scores = np.stack(list(regions.values()))  # (heads, R)
    top = recipe.get("pool", {}).get("top", 1)
    chosen = np.argsort(-scores.mean(axis=0), kind="stable")[:top]
    names = recipe.get("head", {}).get("names", [])
    labels = [
        names[head] if head is not None and head < len(names) else f"head {head}" for _, head in regions
    ]
    means = scores[:, chosen].mean(axis=1)
    return [Term(label, float(mean)) for label, mean in zip(labels, means, strict=True)]


def _branch_label(recipe: Mapping[str, Any], number: int) -> str:
    branches = recipe.get("branches", [])
    if number >= len(branches):
        return f"branch {number + 1}"
    branch = branches[number]
    regions, stages = branch["regions"], branch["features"]["stages"]
    where = "the whole image" if regions["kind"] == "whole" else f"{regions['kind']} of {regions['size']} px"
    scale = f", shrunk {branch['shrink']} times" if branch["shrink"] > 1 else ""
    depth = "" if stages == [-1] else f", stages {' '.join(map(str, stages))}"
    return f"{' '.join(branch['head']['names'])} on {where}{scale}{depth}"
