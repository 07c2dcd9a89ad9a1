"""Pooling, the one pass over all stages, and the promise that the encoder is not changed."""

from typing import Any

import numpy as np
import pytest
import torch

from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.probe.features import (
    FrozenEncoder,
    Setup,
    minibatches,
    pooled,
    read,
    scaled,
    state_digest,
)
from onlygood.pretrain.probe.protocols import PROTOCOLS, protocol_config
from onlygood.pretrain.views.views import to_float
from onlygood.runtime.errors import OnlygoodError


@pytest.mark.parametrize(("channels", "side"), [(64, 12), (192, 7), (384, 5), (256, 6)])
def test_max_pooling_gives_the_grids_of_the_survey(channels: int, side: int) -> None:
    assert pooled(torch.zeros(1, channels, 27, 27), "max", 9000).shape == (1, channels * side**2)


def test_a_map_is_never_pooled_to_more_than_it_has() -> None:
    assert pooled(torch.zeros(2, 32, 4, 6), "max", 9000).shape == (2, 32 * 24)
    assert pooled(torch.zeros(2, 20000, 4, 4), "max", 9000).shape == (2, 20000)


def test_pooling_by_hand() -> None:
    maps = torch.arange(16.0).view(1, 1, 4, 4)
    assert pooled(maps, "max", 4).tolist() == [[5, 7, 13, 15]]
    assert pooled(maps, "mean", 4).tolist() == [[7.5]]


def test_all_stages_come_from_one_pass_and_in_order(dataset: Any) -> None:
    data = dataset(4, 4)
    encoder = create_encoder("small", 3)
    with FrozenEncoder(encoder, "fixed", batch_size=5) as eye:
        found = eye.features(data.store, np.arange(12))
    x = to_float(read(data.store, np.arange(12)), "fixed")
    for number, (block, features) in enumerate(zip(encoder.eval().blocks, found, strict=True)):
        x = block(x)
        torch.testing.assert_close(features, x.mean(dim=(2, 3)), msg=f"stage {number}")
    calls = []
    encoder.blocks[0].register_forward_hook(lambda *_: calls.append(1))
    with FrozenEncoder(encoder, "fixed", [3, 1]) as eye:
        some = eye.features(data.store, np.arange(12))
    assert len(calls) == 1
    torch.testing.assert_close(some, [found[0], found[2]])


def test_a_stage_that_is_not_there() -> None:
    with pytest.raises(OnlygoodError, match="stages 1 to 4, not"):
        FrozenEncoder(create_encoder("small"), "fixed", [2, 5])


QUICK = {
    "linear": {"epochs": 1, "flip": True},
    "logistic": {"candidates": 2},
    "knn": {},
    "few-shot": {"ways": 2, "shots": [2], "labels": [2], "episodes": 2, "repeats": 2},
    "finetune": {"epochs": 1, "lr": [0.1, 0.3]},
    "retention": {},
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_protocol_leaves_the_encoder_as_it_was(protocol: str, dataset: Any) -> None:
    encoder = create_encoder("small", 3).train()
    encoder.blocks[1].eval()
    before, statistics = state_digest(encoder), encoder.blocks[0][1].running_mean.clone()
    config = protocol_config(protocol, QUICK[protocol])
    with FrozenEncoder(encoder, "fixed") as eye:
        rows = PROTOCOLS[protocol][1](Setup(eye, dataset(6, 4), 0), config)
    assert rows
    assert state_digest(encoder) == before
    assert torch.equal(encoder.blocks[0][1].running_mean, statistics)
    assert encoder.training
    assert not encoder.blocks[1].training
    assert all(value.requires_grad for value in encoder.parameters())


def test_a_changed_encoder_is_noticed(dataset: Any) -> None:
    encoder = create_encoder("small", 3)
    images = read(dataset(4, 4).store, np.arange(8))
    with pytest.raises(AssertionError, match="batch-norm statistics"), FrozenEncoder(encoder, "fixed"):
        encoder.train()(to_float(images, "fixed"))
    with (
        pytest.raises(AssertionError, match="evaluation mode"),
        FrozenEncoder(encoder.train(), "fixed") as eye,
    ):
        FrozenEncoder(eye.encoder.train(), "fixed").maps(images)
    with pytest.raises(AssertionError, match="weights"), FrozenEncoder(encoder, "fixed"):
        next(encoder.parameters()).data[0] += 1e-3


def test_features_carry_no_gradients(dataset: Any) -> None:
    with FrozenEncoder(create_encoder("small", 3).train(), "fixed") as eye:
        assert not any(found.requires_grad for found in eye.features(dataset(4, 4).store, np.arange(8)))


def test_scaling_by_the_training_part_alone() -> None:
    train = torch.tensor([[1.0, 5.0], [3.0, 5.0]])
    inner, outer = scaled(train, torch.tensor([[5.0, 6.0]]))
    assert inner.tolist() == [[-1, 0], [1, 0]]
    assert outer.tolist() == [[3, 0]]  # what never varied says nothing


@pytest.mark.parametrize("count", [1, 192, 193, 385, 1000])
def test_minibatches_hold_every_image_once_and_never_one_alone(count: int) -> None:
    parts = minibatches(count, 192, torch.Generator().manual_seed(0))
    assert torch.cat(parts).sort().values.tolist() == list(range(count))
    assert max(map(len, parts)) <= 192
    assert min(map(len, parts)) >= min(2, count)
