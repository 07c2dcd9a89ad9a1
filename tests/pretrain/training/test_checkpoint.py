import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from onlygood.pretrain.training.checkpoint import (
    differences,
    find_checkpoint,
    load_checkpoint,
    restore,
    save_checkpoint,
)
from onlygood.runtime.atomic import write_atomically
from onlygood.runtime.errors import OnlygoodError


class Net(nn.Module):
    """Every kind of state: weights in two layouts, tied weights, a queue, a pointer, an expanded buffer."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(seed)
        self.conv = nn.Conv2d(3, 4, 3)
        self.first = nn.Linear(4, 4)
        self.tied = self.first
        self.scale = nn.Parameter(torch.tensor(0.5 + seed))
        self.register_buffer("queue", torch.randn(5, 2, generator=rng))
        self.register_buffer("pointer", torch.tensor(7 + seed))
        self.register_buffer("mask", torch.tensor([True, False]))
        self.register_buffer("wide", torch.zeros(1).expand(3).clone())
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=rng))
        self.to(memory_format=torch.channels_last)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scale * self.tied(self.first(self.conv(x).mean((2, 3)))).tanh().sum()


def optimizer_of(net: Net, name: str) -> torch.optim.Optimizer:
    if name == "adamw":
        return torch.optim.AdamW(net.parameters(), 0.01)
    return torch.optim.SGD(net.parameters(), 0.01, momentum=0.9, nesterov=True)


def steps(net: Net, optimizer: torch.optim.Optimizer, count: int, start: int = 0) -> None:
    for step in range(start, start + count):
        x = torch.randn(2, 3, 5, 5, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        net(x).backward()
        optimizer.step()


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_training_goes_on_bit_for_bit(tmp_path: Path, name: str) -> None:
    path = tmp_path / "c.safetensors"
    whole = Net(0)
    steps(whole, optimizer_of(whole, name), 5)

    half = Net(0)
    optimizer = optimizer_of(half, name)
    steps(half, optimizer, 2)
    save_checkpoint(path, half, optimizer, {"step": 2})

    other = Net(1)
    optimizer = optimizer_of(other, name)
    checkpoint = load_checkpoint(path)
    restore(checkpoint, other, optimizer)
    assert checkpoint.scalars == {"step": 2}
    assert other.pointer == 7
    moment = next(iter(optimizer.state.values()))["momentum_buffer" if name == "sgd" else "exp_avg"]
    weight = next(iter(optimizer.state))
    assert moment.stride() == weight.stride()
    steps(other, optimizer, 3, start=2)
    for (key, value), expected in zip(other.state_dict().items(), whole.state_dict().values(), strict=True):
        assert torch.equal(value, expected), key


def test_a_failed_write_keeps_the_old_file_and_leaves_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "c.safetensors"
    write_atomically(path, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OnlygoodError, match="No space left on device"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_under_its_name_is_whole_at_every_instant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "c.safetensors"
    write_atomically(path, b"old")
    seen = []
    monkeypatch.setattr(os, "fsync", lambda _: seen.append(path.read_bytes()))
    write_atomically(path, b"new")
    assert seen == [b"old", b"new"]  # the data is flushed before the rename, the folder after it


def test_files_that_are_no_checkpoints_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    with pytest.raises(OnlygoodError, match=r"c\.safetensors: cannot be read"):
        load_checkpoint(path)
    net = Net(0)
    save_checkpoint(path, net, optimizer_of(net, "sgd"), {})
    whole = path.read_bytes()
    for length in (0, 4, 100, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(OnlygoodError, match=r"c\.safetensors: cannot be read"):
            load_checkpoint(path)
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(OnlygoodError, match="not a checkpoint of onlygood"):
        load_checkpoint(path)


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    net = Net(0)
    save_checkpoint(path, net, optimizer_of(net, "sgd"), {})
    other = nn.Linear(2, 2)
    with pytest.raises(OnlygoodError, match="another network"):
        restore(load_checkpoint(path), other, torch.optim.SGD(other.parameters(), 0.1))


def test_find_names_what_differs(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    identity = {"images": "abc", "train": {"lr": 0.1, "seed": 0}}
    assert find_checkpoint(path, identity, resume=False) is None
    assert find_checkpoint(path, identity, resume=True) is None
    net = Net(0)
    save_checkpoint(path, net, optimizer_of(net, "sgd"), {"identity": identity})
    with pytest.raises(OnlygoodError, match="already holds a training run"):
        find_checkpoint(path, identity, resume=False)
    found = find_checkpoint(path, identity, resume=True)
    assert found is not None
    assert found.scalars["identity"] == identity
    with pytest.raises(OnlygoodError, match=r"^not resumed, for train\.lr was 0\.1, is 0\.2\. Give"):
        find_checkpoint(path, {"images": "abc", "train": {"lr": 0.2, "seed": 0}}, resume=True)


def test_differences_see_through_nesting_and_json() -> None:
    now = {"a": {"size": (1, 2), "new": None}, "b": 1}
    then = json.loads(json.dumps({"a": {"size": (1, 2)}, "b": 2}))
    assert differences(then, now) == ["a.new was absent, is None", "b was 2, is 1"]
    assert differences(now, json.loads(json.dumps(now))) == []


def test_hashes_that_differ_are_not_spelled_out() -> None:
    """Two of them before the telling part are all that fits on a screen."""
    assert differences({"images": "0" * 64}, {"images": "f" * 64}) == ["images: not the same"]
    assert differences({"images": "0" * 64}, {}) == [f"images was {'0' * 64}, is absent"]
