"""Processes that were started together, and whether they found each other."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from onlygood.pretrain.training.process import Processes
from onlygood.runtime.errors import OnlygoodError


def test_processes_that_cannot_be_joined_do_not_train_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def alone(**settings: Any) -> Any:
        asked.append(settings["cpu"])
        return SimpleNamespace(device=torch.device("cpu"), process_index=0, num_processes=1)

    monkeypatch.setattr("onlygood.pretrain.training.process.Accelerator", alone)
    monkeypatch.setattr("torch.accelerator.is_available", lambda: False)
    monkeypatch.setenv("WORLD_SIZE", "2")  # left behind by something else: nobody has a rank
    monkeypatch.delenv("RANK", raising=False)
    assert Processes().count == 1
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(OnlygoodError, match="2 processes were started, and each would train alone"):
        Processes()
    assert asked == [False, True]  # on CPUs they are joined by being asked to
