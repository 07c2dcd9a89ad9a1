"""Processes that were started together, and whether they found each other."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from onlygood.pretrain.training.process import Processes
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.launched import helping, launched

LAUNCHERS = [
    ("RANK", "WORLD_SIZE"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
]
LAUNCHERS += [("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE")]


@pytest.mark.parametrize(("rank", "size"), LAUNCHERS)
def test_processes_that_cannot_be_joined_do_not_train_side_by_side(
    rank: str, size: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def alone(**settings: Any) -> Any:
        asked.append(settings["cpu"])
        return SimpleNamespace(device=torch.device("cpu"), process_index=0, num_processes=1)

    monkeypatch.setattr("onlygood.pretrain.training.process.Accelerator", alone)
    monkeypatch.setattr("torch.accelerator.is_available", lambda: False)
    monkeypatch.setenv("WORLD_SIZE", "2")  # left behind by something else: nobody has a rank
    monkeypatch.delenv("RANK", raising=False)
    assert Processes().count == 1
    monkeypatch.setenv(rank, "1")
    monkeypatch.setenv(size, "3")
    with pytest.raises(OnlygoodError, match="3 processes were started, and each would train alone"):
        Processes()
    assert asked == [False, True]  # on CPUs they are joined by being asked to


@pytest.mark.parametrize(("rank", "size"), LAUNCHERS)
def test_the_others_help_the_first(rank: str, size: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (name for names in LAUNCHERS for name in names):
        monkeypatch.delenv(name, raising=False)
    assert (launched(), helping()) == (1, False)
    monkeypatch.setenv(size, "2")
    assert (launched(), helping()) == (1, False)
    monkeypatch.setenv(rank, "0")
    assert (launched(), helping()) == (2, False)
    monkeypatch.setenv(rank, "1")
    assert (launched(), helping()) == (2, True)


def test_processes_that_do_not_find_each_other_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with mpirun alone, which does not say where the first is."""

    def lost(**_: Any) -> Any:
        raise ValueError("environment variable MASTER_ADDR expected, but not set")

    monkeypatch.setattr("onlygood.pretrain.training.process.Accelerator", lost)
    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", "0")
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
    with pytest.raises(OnlygoodError, match="2 processes were started, and do not find each other"):
        Processes()
