"""Files as others publish them: their networks' features, what is left out, and what is refused."""

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tiny import seeded
from torch import Tensor, nn
from torchvision import models
from torchvision.models.resnet import BasicBlock

from onlygood.pretrain.networks import published
from onlygood.pretrain.networks import start as start_module
from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.networks.encoders import resnet
from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.networks.start import start_encoder
from onlygood.pretrain.networks.weights import save_weights
from onlygood.pretrain.views.views import to_float
from onlygood.runtime.errors import OnlygoodError

State = dict[str, Tensor]


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def lived_in(net: nn.Module) -> nn.Module:
    """With batch statistics that are not the initial ones, in evaluation mode."""
    with torch.no_grad():
        net.train()(noise(2, 3, 64, 64, seed=9))
    return net.eval()


class Narrow(nn.Module):
    """A ResNet-18 of torchvision's blocks and names with an eighth of its channels; gives features."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 8, 7, 2, 3, bias=False), nn.BatchNorm2d(8)
        self.relu, self.maxpool = nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            nn.Sequential(self.block(width // step, width, step), self.block(width, width, 1))
            for width, step in ((8, 1), (16, 2), (32, 2), (64, 2))
        )

    @staticmethod
    def block(inputs: int, outputs: int, stride: int) -> nn.Module:
        shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        return BasicBlock(inputs, outputs, stride, shortcut if stride > 1 else None)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return x.mean(dim=(2, 3))


@pytest.fixture(scope="module")
def net() -> nn.Module:
    with seeded():
        return lived_in(Narrow())


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """``resnet18`` is an encoder of that width."""

    def create(name: str, channels: int = 3, *, seed: int = 0) -> Encoder:
        if name != "resnet18":
            return create_encoder(name, channels, seed=seed)
        with seeded(seed):
            return resnet(name, channels, [8, 16, 32, 64], Narrow())

    monkeypatch.setattr(start_module, "create_encoder", create)


def under(prefix: str, state: State) -> State:
    return {prefix + name: value for name, value in state.items()}


def other(state: State) -> State:
    """A copy that must not be taken."""
    return {name: torch.zeros_like(value) for name, value in state.items()}


def mlp(name: str, *widths: int) -> State:
    return {f"{name}.{index}.weight": noise(width, 4) for index, width in enumerate(widths)}


def as_sequential(state: State, numbers: tuple[int, ...]) -> State:
    number = dict(zip(("conv1", "bn1", "layer1", "layer2", "layer3", "layer4"), numbers, strict=True))
    return {f"{number[name.partition('.')[0]]}.{name.partition('.')[2]}": v for name, v in state.items()}


# Each maps the state of a network to what its publishers save, after their training scripts.
LAYOUTS: dict[str, tuple[Callable[[State], dict[str, Any]], str]] = {
    "torchvision": (
        lambda s: s | {"fc.weight": noise(1000, 64), "fc.bias": noise(1000)},
        r"120 tensors taken; left out: the head fc of 1000 outputs \(2 tensors\)$",
    ),
    "MoCo v2": (
        lambda s: {
            "epoch": 800,
            "arch": "resnet18",
            "state_dict": under("module.encoder_q.", s | mlp("fc", 512, 128))
            | under("module.encoder_k.", other(s) | mlp("fc", 512, 128))
            | {"module.queue": noise(128, 8), "module.queue_ptr": torch.zeros(1)},
            "optimizer": {"state": {0: {"momentum_buffer": noise(2)}}, "param_groups": [{"lr": 0.03}]},
        },
        r"as MoCo's, 120 tensors taken from state_dict\.module\.encoder_q; left out: the head fc of 128 "
        r"outputs \(2 tensors\), the momentum copy encoder_k \(122 .*, the state of the loss queue \(1 ",
    ),
    "MoCo v3": (
        lambda s: {
            "state_dict": under("module.momentum_encoder.", other(s))
            | under("module.base_encoder.", s | mlp("fc", 4096, 256))
            | mlp("module.predictor", 4096, 256)
        },
        r"as MoCo v3's, 120 .* the momentum copy momentum_encoder .* the predictor \(2 tensors\)",
    ),
    "SimCLR of a converter": (lambda s: {"state_dict": s | {"fc.weight": noise(1000, 64)}}, "120 tensors"),
    "SimCLR, backbone": (
        lambda s: {"state_dict": under("backbone.", s | mlp("fc", 512, 128)), "arch": "resnet18"},
        "taken from state_dict.backbone; left out: the head fc of 128 outputs",
    ),
    "SimCLR, convnet": (
        lambda s: {"state_dict": under("convnet.", s) | mlp("projection", 2048, 128)},
        r"as SimCLR's, .* from state_dict\.convnet; left out: the head projection of 128 outputs",
    ),
    "SimCLR of Lightning": (
        lambda s: {
            "state_dict": under("model.encoder.", s) | mlp("model.projector", 512),
            "hyper_parameters": {"lr": 0.1},
            "optimizer_states": [{"state": {}}],
        },
        r"from state_dict\.model\.encoder; left out: the head projector",
    ),
    "SimCLR of lightly": (
        lambda s: under("backbone.", as_sequential(s, (0, 1, 4, 5, 6, 7))) | mlp("projection_head", 512, 128),
        "from backbone; left out: the head projection_head",
    ),
    "a Sequential without pooling": (
        lambda s: {"net": as_sequential(s, (0, 1, 3, 4, 5, 6))},
        "from net; nothing left out",
    ),
    "SimCLR of VISSL": (
        lambda s: {
            "classy_state_dict": {
                "base_model": {
                    "model": {"trunk": under("_feature_blocks.", s), "heads": mlp("0.clf", 2048, 128)}
                }
            }
        },
        r"as VISSL's, .*trunk\._feature_blocks; left out: the head heads of 128",
    ),
    "BYOL": (
        lambda s: {
            "target_backbone": under("module.", other(s)),
            "online_backbone": under("module.", s),
            "online_head": mlp("module", 4096, 256),
        },
        r"as BYOL's, .* from online_backbone\.module; left out: the momentum copy target_backbone \(120",
    ),
    "SwAV": (
        lambda s: under(
            "module.", s | mlp("projection_head", 2048, 128) | {"prototypes.weight": noise(3000, 8)}
        ),
        r"as SwAV's, .* from module; .* projection_head of 128 .* the prototypes",
    ),
    "Barlow Twins": (lambda s: s, "120 tensors taken; nothing left out"),
    "Barlow Twins or VICReg, whole": (
        lambda s: {
            "epoch": 1000,
            "model": under("module.backbone.", s) | mlp("module.projector", 8192, 8192),
            "optimizer": {"state": {}},
        },
        r"as Barlow Twins or VICReg's, .* from model\.module\.backbone; left out: the head projector of 8192",
    ),
    "DINO, whole": (
        lambda s: {
            "student": under("module.backbone.", other(s)) | mlp("module.head", 2048, 256),
            "teacher": under("backbone.", s) | mlp("head", 2048, 256),
            "args": argparse.Namespace(arch="resnet50"),
            "epoch": 800,
        },
        r"as DINO's, .* from teacher\.backbone; left out: the student \(122 .* the head of 256",
    ),
}


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.usefixtures("narrow")
def test_published_layouts_give_the_features_of_their_network(
    name: str, net: nn.Module, tmp_path: Path
) -> None:
    make, words = LAYOUTS[name]
    torch.save(make(net.state_dict()), tmp_path / "weights.pth")
    start = start_encoder("resnet18", 3, seed=5, weights=tmp_path / "weights.pth")
    x = noise(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(start.encoder.eval()(x), net(x), rtol=0, atol=0)
    assert start.standardize == "imagenet"
    (report, standardized) = start.words
    assert re.search(words, report), report
    assert "standardized as 'imagenet'" in standardized
    assert start.sha256 is not None


def whole(name: str) -> nn.Module:
    """torchvision's own; of ResNet-18 as it is used at 32 px."""
    builds = {"resnet50": models.resnet50, "wide-resnet50": models.wide_resnet50_2}
    if name != "resnet18-32":
        return (builds | {"mobilenet-v3": models.mobilenet_v3_small})[name](weights=None)
    small = models.resnet18(weights=None)
    small.conv1, small.maxpool = nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.Identity()
    return small


@pytest.mark.parametrize("name", ["resnet18-32", "mobilenet-v3"])
def test_torchvision_s_networks_and_ours_are_the_same(name: str, tmp_path: Path) -> None:
    with seeded():
        theirs = lived_in(whole(name))
    save_file(theirs.state_dict(), tmp_path / "w.safetensors")
    encoder = start_encoder(name, 3, weights=tmp_path / "w.safetensors").encoder.eval()
    features: list[Tensor] = []
    theirs.avgpool.register_forward_hook(lambda _, __, out: features.append(out.flatten(1)))
    x = noise(1, 3, 64, 64)
    with torch.no_grad():
        theirs(x)
        torch.testing.assert_close(encoder(x), features[0])


@pytest.mark.parametrize("name", ["resnet50", "wide-resnet50"])
def test_large_networks_have_torchvision_s_names_and_shapes(name: str) -> None:
    with torch.device("meta"):
        theirs, ours = whole(name).state_dict(), create_encoder(name)
    state = ours.state_dict()
    place = published.find_place(theirs, state, ours.published)
    assert place.keys.keys() == state.keys()
    assert all(theirs[key].shape == state[ours_].shape for ours_, key in place.keys.items())
    assert theirs.keys() - set(place.keys.values()) == {"fc.weight", "fc.bias"}


# --- gray images ----------------------------------------------------------------


@pytest.mark.usefixtures("narrow")
def test_gray_images_are_seen_as_by_the_published_network(net: nn.Module, tmp_path: Path) -> None:
    """ImageNet's means differ from color to color, so the gray image gets three channels."""
    torch.save(net.state_dict(), tmp_path / "w.pth")
    start = start_encoder("resnet18", 1, weights=tmp_path / "w.pth")
    gray = torch.randint(
        0, 256, (2, 1, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    color = (gray.expand(-1, 3, -1, -1) / 255 - mean.view(3, 1, 1)) / deviation.view(3, 1, 1)
    assert start.encoder.channels == 3
    with torch.no_grad():
        ours = start.encoder.eval()(to_float(gray, "imagenet"))
        torch.testing.assert_close(ours, net(color), rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("narrow")
def test_gray_images_need_one_channel_where_all_colors_are_standardized_alike(
    net: nn.Module, tmp_path: Path
) -> None:
    torch.save(net.state_dict(), tmp_path / "w.pth")
    start = start_encoder("resnet18", 1, weights=tmp_path / "w.pth", standardize="image")
    x = noise(2, 1, 64, 64)
    assert start.encoder.channels == 1
    with torch.no_grad():
        torch.testing.assert_close(
            start.encoder.eval()(x), net(x.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-5
        )
    assert "weights of three colors summed" in start.words[1]
    assert "trained with images standardized as 'imagenet', and given 'image'" in start.words[2]


@pytest.mark.usefixtures("narrow")
def test_our_own_files_say_how_images_reach_them(net: nn.Module, tmp_path: Path) -> None:
    torch.save(net.state_dict(), tmp_path / "w.pth")
    first = start_encoder("resnet18", 1, weights=tmp_path / "w.pth")
    save_weights(first.encoder, tmp_path / "e.safetensors", standardize="imagenet")
    second = start_encoder("resnet18", 1, weights=tmp_path / "e.safetensors")
    assert (second.standardize, second.encoder.channels) == ("imagenet", 3)
    assert second.words == ("images are standardized as 'imagenet', as they were for these weights",)
    x = noise(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(second.encoder.eval()(x), first.encoder.eval()(x))


# --- what does not fit ------------------------------------------------------------


def without(key: str) -> Callable[[State], State]:
    return lambda state: {name: value for name, value in state.items() if name != key}


@pytest.mark.parametrize(
    ("encoder", "change", "message"),
    [
        ("resnet50", dict, r"'resnet50' with 3 .*layer1\.0\.conv3\.weight is missing; .* like a ResNet-18$"),
        ("resnet18-32", dict, r"conv1\.weight has the shape \(8, 3, 7, 7\), not \(64, 3, 3, 3\)"),
        ("resnet18", without("layer4.1.conv2.weight"), r": layer4\.1\.conv2\.weight is missing"),
        ("resnet18", lambda s: under("model.", without("bn1.bias")(s)), r": model\.bn1\.bias is missing"),
        (
            "resnet18",
            lambda s: s | {"layer3.2.conv1.weight": noise(4)},
            r"layer3\.2\.conv1\.weight is not part",
        ),
        ("mobilenet-v3", dict, r"features\.0\.0\.weight is missing; it looks like a ResNet-18$"),
        ("small", dict, r"blocks\.0\.0\.weight is missing; it looks like a ResNet-18$"),
        ("resnet18", lambda _: {"a.b": noise(2)}, r"conv1\.weight is missing; .* named a\.b …$"),
        ("resnet18", lambda _: {"epoch": 3}, r"it looks like nothing: there are no tensors in it$"),
    ],
)
@pytest.mark.usefixtures("narrow")
def test_what_does_not_fit_is_refused_by_its_first_tensor(
    encoder: str, change: Callable[[State], Any], message: str, net: nn.Module, tmp_path: Path
) -> None:
    torch.save(change(net.state_dict()), tmp_path / "w.pth")
    with pytest.raises(OnlygoodError, match=rf"w\.pth: these are not the weights of encoder .*{message}"):
        start_encoder(encoder, 3, weights=tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("build", "name"),
    [
        (models.resnet34, "a ResNet-34"),
        (models.resnet101, "a ResNet-101"),
        (models.wide_resnet50_2, "a wide ResNet-50"),
        (models.mobilenet_v3_small, "a MobileNet or another network of torchvision"),
    ],
)
def test_networks_are_recognized(build: Callable[..., nn.Module], name: str, tmp_path: Path) -> None:
    with torch.device("meta"):
        whole = build(weights=None)
    torch.save(
        {"model": {key: torch.zeros(()).expand(value.shape) for key, value in whole.state_dict().items()}},
        tmp_path / "w.pth",
    )
    with pytest.raises(OnlygoodError, match=f"it looks like {name}"):
        start_encoder("resnet50", 3, weights=tmp_path / "w.pth")


def test_our_own_file_of_another_encoder_is_named(tmp_path: Path) -> None:
    save_weights(create_encoder("small"), tmp_path / "e.safetensors", standardize="image")
    with pytest.raises(OnlygoodError, match=r"conv1\.weight is missing; it looks like encoder 'small'$"):
        start_encoder("resnet18", 3, weights=tmp_path / "e.safetensors")


class Anything:
    """An object that a checkpoint must not bring to life."""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"state_dict": {}, "model": Anything()},
            r"holds objects of .*Anything beside tensors, .* run any code",
        ),
        (b"\x80\x02 cut short", "neither a safetensors file nor a state dict of torch"),
        (b"", "neither a safetensors file nor a state dict of torch"),
    ],
)
def test_files_that_cannot_be_read(content: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(OnlygoodError, match=rf"w\.pth: {message}"):
        start_encoder("resnet18", 3, weights=path)


def test_nothing_is_downloaded_for_an_encoder_of_ours() -> None:
    with pytest.raises(
        OnlygoodError, match=r"gets weights of timm's models, .* for encoder 'resnet18' give a file"
    ):
        start_encoder("resnet18", 3, weights="download")
