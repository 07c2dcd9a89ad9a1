"""Backbones: shapes, what their features are, and weights that come back exactly or are refused in words."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from onlygood.pretrain.networks.base import BasicBlock, Encoder, PreActivationBlock
from onlygood.pretrain.networks.registry import ENCODERS, create_encoder
from onlygood.pretrain.networks.weights import load_weights, save_weights
from onlygood.runtime.errors import OnlygoodError


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(
        torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize(
    ("name", "channels"),
    [(name, channels) for name in ENCODERS for channels in (1, 3) if (name, channels) != ("split-small", 1)],
)
def test_maps_and_features_are_as_promised(name: str, channels: int) -> None:
    encoder = create_encoder(name, channels).eval()
    x = noise(2, channels, 64, 64)
    with torch.no_grad():
        maps, features = encoder.stages(x), encoder(x)
    assert (encoder.name, encoder.channels) == (name, channels)
    assert [m.shape[1] for m in maps] == encoder.stage_dims
    side = maps[-1].shape[2]
    assert maps[-1].shape[2:] == (side, side)
    assert encoder.stride == (0 if side == 1 else 64 // side)
    assert features.shape == (2, encoder.dim)
    torch.testing.assert_close(features, maps[-1].mean(dim=(2, 3)))
    assert not torch.allclose(features[0], features[1])


@pytest.mark.parametrize(
    ("name", "stride"),
    [("small", 16), ("lenet", 0), ("resnet18-32", 8), ("resnet18", 32), ("wrn16-4", 4), ("vit-tiny-4", 4)],
)
def test_strides_by_hand(name: str, stride: int) -> None:
    assert create_encoder(name).stride == stride


@pytest.mark.parametrize("name", ["small", "lenet", "resnet18-32", "wrn16-4", "mobilenet-v3"])
def test_oblong_images_are_fine(name: str) -> None:
    with torch.no_grad():
        assert create_encoder(name).eval()(noise(1, 3, 32, 48)).isfinite().all()


def test_same_seed_same_weights_and_the_global_generator_is_left_alone() -> None:
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    first, second, third = create_encoder("small"), create_encoder("small"), create_encoder("small", seed=1)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert same(first, second)
    assert not same(first, third)


def test_deep_svdd_s_network_has_nothing_that_ignores_the_image() -> None:
    """Of a black image it makes exactly zero: no bias anywhere, no affine norm."""
    encoder = create_encoder("lenet", 1).eval()
    assert not encoder(torch.zeros(1, 1, 32, 32)).any()
    assert all(parameter.ndim >= 2 for parameter in encoder.parameters())


def test_basic_block_adds_its_shortcut() -> None:
    block = BasicBlock(4, 4, 1).eval()
    nn.init.zeros_(block.body[4].weight)  # the last norm's scale: the body is silent
    x = noise(1, 4, 8, 8)
    torch.testing.assert_close(block(x), x.relu())
    assert BasicBlock(4, 8, 2)(noise(2, 4, 8, 8)).shape == (2, 8, 4, 4)


def test_preactivation_block_adds_the_raw_input() -> None:
    block = PreActivationBlock(4, 4, 1).eval()
    nn.init.zeros_(block.body[3].weight)
    x = noise(1, 4, 8, 8)
    torch.testing.assert_close(block(x), x)
    assert PreActivationBlock(4, 8, 2)(noise(2, 4, 8, 8)).shape == (2, 8, 4, 4)


# --- weights ------------------------------------------------------------------


def trained(seed: int = 3) -> Encoder:
    """With batch statistics that are not the initial ones."""
    encoder = create_encoder("small", seed=seed)
    with torch.no_grad():
        encoder(noise(4, 3, 16, 16))
    return encoder


def test_weights_and_statistics_come_back_bit_for_bit(tmp_path: Path) -> None:
    encoder = trained()
    save_weights(encoder, tmp_path / "e.safetensors", standardize="image")
    assert same(create_encoder("small", weights=tmp_path / "e.safetensors"), encoder)
    with safe_open(tmp_path / "e.safetensors", framework="pt") as file:
        assert json.loads(file.metadata()["onlygood"]) == {
            "encoder": "small",
            "channels": 3,
            "standardize": "image",
        }


def test_same_weights_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_weights(trained(), tmp_path / name, standardize="fixed")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_an_encoder_inside_a_larger_file_is_found(tmp_path: Path) -> None:
    encoder = trained()
    tensors = {f"encoder.{name}": value for name, value in encoder.state_dict().items()}
    save_file(tensors | {"classifier.weight": torch.zeros(2)}, tmp_path / "task.safetensors")
    other = create_encoder("small")
    load_weights(other, tmp_path / "task.safetensors")
    assert same(other, encoder)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "e.safetensors"
    save_weights(trained(), path, standardize="fixed")
    with pytest.raises(
        OnlygoodError, match=r"e\.safetensors: .*not the weights of encoder 'small' with 1 ch.*shape"
    ):
        create_encoder("small", 1, weights=path)
    with pytest.raises(OnlygoodError, match="not the weights of encoder 'lenet' with 3"):
        create_encoder("lenet", weights=path)


@pytest.mark.parametrize("content", [b"", b"no tensors", None])
def test_unreadable_weights_are_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "e.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(OnlygoodError, match=r"e\.safetensors: (not a readable safeten|cannot read)"):
        create_encoder("small", weights=path)


@pytest.mark.parametrize(
    ("name", "hint"), [("resnet19", "did you mean 'resnet18'"), ("xyz", "there are small, lenet")]
)
def test_an_unknown_name_is_told_what_there_is(name: str, hint: str) -> None:
    with pytest.raises(OnlygoodError, match=hint):
        create_encoder(name)


@pytest.mark.parametrize("name", ENCODERS)
def test_an_encoder_has_its_entry_s_name(name: str) -> None:
    assert create_encoder(name).name == name
