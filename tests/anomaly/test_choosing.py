"""Branches that see painted defects are kept, and who judges that."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tiny import structured

from onlygood.anomaly.choosing import area, choose, faintly_spoiled, kept, powers, set_aside
from onlygood.anomaly.fit import fit_head
from onlygood.anomaly.parts import Parts
from onlygood.anomaly.recipe import BranchConfig, ChooseConfig, Recipe
from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.tasks.registry import create_task

SIDE = 32


def parts(names: list[str]) -> Parts:
    ids = np.arange(len(names))
    return Parts(ids, ids[:0], 0.1, dict(enumerate(names)), grouped=True)


def store(images: np.ndarray) -> Any:
    spec = SimpleNamespace(height=SIDE, width=SIDE)
    return SimpleNamespace(spec=spec, inside=None, batch=lambda ids: images[ids], __len__=lambda: len(images))


def test_area_is_the_share_of_pairs_in_order() -> None:
    assert area(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 2.0, -1.0])) == pytest.approx(
        (2 + 1.5) / 6 * 1.0
    )


def test_a_branch_is_kept_within_the_margin() -> None:
    assert kept([0.70, 0.90, 0.81, 0.79], 0.1, [True] * 4) == [1, 2]
    assert kept([0.5, 0.5], 0.1, [True, True]) == [0, 1]


def test_branches_that_only_show_neither_go_nor_set_the_measure() -> None:
    assert kept([0.60, 0.99, 0.65], 0.1, [True, False, True]) == [0, 1, 2]
    assert kept([0.60, 0.10, 0.75], 0.1, [True, False, True]) == [1, 2]


def test_judges_are_whole_parts_and_not_learned_from() -> None:
    names = [f"part{number // 4}" for number in range(80)]
    learn, judge = set_aside(parts(names), 0.25, 3)
    assert len(judge) == 20
    assert sorted([*learn, *judge]) == list(range(80))
    assert not {names[i] for i in learn} & {names[i] for i in judge}


def test_a_defect_is_painted_into_every_image_and_leaves_most_of_it() -> None:
    x = torch.randn(12, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    changed = (faintly_spoiled(x, torch.Generator().manual_seed(1)) - x).abs().amax(dim=1) > 0.02
    shares = changed.float().mean(dim=(1, 2))
    assert (shares > 0).all()
    assert shares.median() < 0.5


def test_a_blind_branch_is_dropped_and_that_is_said() -> None:
    """A Gaussian that is told the image's own mean and no more sees nothing; one of its windows sees most."""
    images = structured(40, SIDE, SIDE)
    task = create_task("frozen", create_encoder("small", 3, seed=0), {}, "image", images=40, seed=0).eval()
    branches = [
        BranchConfig.parse(
            {"head": {"names": ["gaussian"]}, "regions": regions, "features": features}, "test"
        )
        for regions, features in (
            ({"kind": "cells", "size": 8, "stride": 8}, {"stages": [1, 2, 3]}),
            ({"kind": "whole"}, {"stages": [1]}),
        )
    ]
    detector = fit_head(Recipe(branches=branches), task, store(images), np.arange(30))
    judges = np.arange(30, 40)
    seeing, blind = powers(detector, store(images), judges, 0)
    assert seeing > blind
    said: list[str] = []
    config = ChooseConfig(margin=(seeing - blind) / 2)
    assert choose(config, detector, branches, store(images), judges, seed=0, say=said.append) == branches[:1]
    assert f"gaussian {blind:.2f} (dropped)" in said[0]
    assert "10 good images" in said[0]
