"""States with older names are read, at any depth, and others are left alone."""

import torch
from torch import nn

from onlygood.pretrain.networks.renamed import read_older_names


class Inner(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.color = nn.Linear(1, 1)
        self.token = nn.Parameter(torch.zeros(2))
        read_older_names(self, {"colour": "color", "hidden": "token"})


class Outer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.color = Inner(), nn.Linear(1, 1)


def test_older_and_today_s_names_are_read() -> None:
    written = {name: torch.rand(value.shape) for name, value in Outer().state_dict().items()}
    older = {
        name.replace("inner.color", "inner.color").replace("inner.token", "inner.hidden"): value
        for name, value in written.items()
    }
    assert older.keys() != written.keys()
    for state in (written, older):
        outer = Outer()
        outer.load_state_dict(state)
        assert all(torch.equal(value, written[name]) for name, value in outer.state_dict().items())
