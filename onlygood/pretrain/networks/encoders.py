"""Backbones: functions of the number of channels. ``registry.py`` has their names."""

from itertools import pairwise

from torch import Tensor, nn

from onlygood.pretrain.networks.base import BasicBlock, Encoder, PreActivationBlock
from onlygood.pretrain.networks.vit import ViT


def small(channels: int) -> Encoder:
    """About a million parameters, stride 16: for CPUs and for tiles of 32 to 96 px."""
    dims = [32, 64, 128, 256]
    stem = nn.Sequential(
        nn.Conv2d(channels, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU(inplace=True)
    )
    later = [BasicBlock(inputs, outputs, 2) for inputs, outputs in pairwise(dims)]
    return Encoder("small", channels, [stem, *later], dims, 16)


def _resnet18(channels: int, *, small_stem: bool) -> Encoder:
    """ResNet-18 of torchvision; the small stem is 3×3 without pooling, as used at 32 px."""
    from torchvision.models import resnet18  # noqa: PLC0415

    net = resnet18(weights=None)
    if small_stem:
        stem = nn.Sequential(nn.Conv2d(channels, 64, 3, 1, 1, bias=False), net.bn1, net.relu)
    else:
        stem = nn.Sequential(nn.Conv2d(channels, 64, 7, 2, 3, bias=False), net.bn1, net.relu, net.maxpool)
    blocks = [nn.Sequential(stem, net.layer1), net.layer2, net.layer3, net.layer4]
    name, stride = ("resnet18-32", 8) if small_stem else ("resnet18", 32)
    return Encoder(name, channels, blocks, [64, 128, 256, 512], stride)


def resnet18_small_stem(channels: int) -> Encoder:
    """ResNet-18 for 32 to 64 px images."""
    return _resnet18(channels, small_stem=True)


def resnet18(channels: int) -> Encoder:
    """ResNet-18 for 96 px and more."""
    return _resnet18(channels, small_stem=False)


def resnet50(channels: int) -> Encoder:
    """ResNet-50 of torchvision."""
    from torchvision.models import resnet50 as build  # noqa: PLC0415

    net = build(weights=None)
    stem = nn.Sequential(nn.Conv2d(channels, 64, 7, 2, 3, bias=False), net.bn1, net.relu, net.maxpool)
    blocks = [nn.Sequential(stem, net.layer1), net.layer2, net.layer3, net.layer4]
    return Encoder("resnet50", channels, blocks, [256, 512, 1024, 2048], 32)


def wide_resnet(channels: int) -> Encoder:
    """WRN-16-4 for 32 px images: pre-activation, widths 64, 128, 256."""
    dims = [64, 128, 256]
    layers: list[list[nn.Module]] = []
    inputs = 16
    for index, outputs in enumerate(dims):
        first = PreActivationBlock(inputs, outputs, 1 if index == 0 else 2)
        layers.append([first, PreActivationBlock(outputs, outputs, 1)])
        inputs = outputs
    layers[0].insert(0, nn.Conv2d(channels, 16, 3, 1, 1, bias=False))
    layers[-1] += [nn.BatchNorm2d(dims[-1]), nn.ReLU(inplace=True)]
    return Encoder("wrn16-4", channels, [nn.Sequential(*stage) for stage in layers], dims, 4)


def mobilenet_v3(channels: int) -> Encoder:
    """MobileNet-V3 small of torchvision, cut where its resolution halves."""
    from torchvision.models import mobilenet_v3_small  # noqa: PLC0415

    layers = list(mobilenet_v3_small(weights=None).features)
    layers[0][0] = nn.Conv2d(channels, 16, 3, 2, 1, bias=False)
    cuts = [(0, 2), (2, 4), (4, 9), (9, 13)]
    return Encoder(
        "mobilenet-v3", channels, [nn.Sequential(*layers[a:b]) for a, b in cuts], [16, 24, 48, 576], 32
    )


class LeNetHead(nn.Module):
    """Pools to 4×4 and projects to ``(N, 128, 1, 1)`` without bias, as Deep SVDD's networks end."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.project = nn.Linear(inputs * 16, outputs, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, 4k, 4k')`` to ``(N, 128, 1, 1)``."""
        projected: Tensor = self.project(nn.functional.adaptive_avg_pool2d(x, 4).flatten(1))
        return projected[:, :, None, None]


def lenet(channels: int) -> Encoder:
    """The bias-free, affine-free network of Deep SVDD (Ruff et al. 2018).

    Neither biases nor affine norms nor bounded activations: each of them would let the network map everything
    to the centre without looking at the image.
    """
    blocks: list[nn.Module] = []
    inputs = channels
    for outputs in (32, 64, 128):
        blocks.append(
            nn.Sequential(
                nn.Conv2d(inputs, outputs, 5, 1, 2, bias=False),
                nn.BatchNorm2d(outputs, eps=1e-4, affine=False),
                nn.LeakyReLU(inplace=True),
                nn.MaxPool2d(2),
            )
        )
        inputs = outputs
    blocks.append(LeNetHead(128, 128))
    return Encoder("lenet", channels, blocks, [32, 64, 128, 128], 0)


def _vit_tiny(channels: int, patch: int) -> Encoder:
    """2.7 million parameters."""
    return ViT(f"vit-tiny-{patch}", channels, patch=patch, dim=192, depth=6, heads=3)


def vit_tiny_4(channels: int) -> Encoder:
    """A small vision transformer for 32 px images."""
    return _vit_tiny(channels, 4)


def vit_tiny_8(channels: int) -> Encoder:
    """The same for 64 px and more."""
    return _vit_tiny(channels, 8)
<<<<<<< HEAD


ENCODERS: dict[str, Callable[[int], Encoder]] = {
    "small": small,
    "lenet": lenet,
    "resnet18-32": resnet18_small_stem,
    "resnet18": resnet18,
    "wrn16-4": wide_resnet,
    "resnet50": resnet50,
    "mobilenet-v3": mobilenet_v3,
    "vit-tiny-4": vit_tiny_4,
    "vit-tiny-8": vit_tiny_8,
    "split-small": split_small,
}


def create_encoder(name: str, channels: int = 3, *, seed: int = 0, weights: Path | None = None) -> Encoder:
    """An encoder by name, initialised from ``seed``, or from a safetensors file that the user has.

    Raises OnlygoodError for an unknown name and for weights of another network.
    """
    if name not in ENCODERS:
        raise OnlygoodError(f"unknown encoder {name!r}; there are {', '.join(ENCODERS)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = ENCODERS[name](channels)
    if weights is not None:
        load_weights(encoder, weights)
    return encoder


def save_weights(encoder: Encoder, path: Path, *, standardize: str) -> None:
    """Write the weights as safetensors; the header says which encoder, its channels and how images reach it.

    As one entry: safetensors writes several in any order, and the same weights shall give the same file.
    """
    from safetensors.torch import save  # noqa: PLC0415

    tensors = {name: value.detach().cpu().contiguous() for name, value in encoder.state_dict().items()}
    about = {"encoder": encoder.name, "channels": encoder.channels, "standardize": standardize}
    header = json.dumps(about, allow_nan=False)
    write_atomically(path, save(tensors, {"onlygood": header}))


def load_weights(encoder: Encoder, path: Path) -> None:
    """Load a safetensors file whose tensors fit ``encoder`` exactly; names may begin with ``encoder.``."""
    from safetensors import SafetensorError  # noqa: PLC0415
    from safetensors.torch import load_file  # noqa: PLC0415

    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise OnlygoodError(f"{path}: not a readable safetensors file ({error})") from None
    if any(key.startswith("encoder.") for key in tensors):
        tensors = {k.removeprefix("encoder."): v for k, v in tensors.items() if k.startswith("encoder.")}
    try:
        encoder.load_state_dict(tensors)
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise OnlygoodError(
            f"{path}: these are not the weights of encoder {encoder.name!r} with {encoder.channels} "
            f"channel(s): {reason}"
        ) from None
=======
>>>>>>> dff4f41 (WIP registry 2)
