"""What an encoder is, and the blocks that several encoders are made of."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from onlygood.pretrain.views.views import Standardize


class Encoder(nn.Module):
    """A stack of stages with global average pooling.

    ``forward(x)`` maps float images ``(N, C, H, W)`` to features ``(N, D)``. ``stages(x)`` gives the maps of
    all stages, because the best layer of a pretext task is often not the last (RotNet's is its second block).
    """

    # What its parts are called in weights that others publish, in every way that is read; empty: nobody does.
    published: tuple[Mapping[str, str], ...] = ()
    # How images reach the networks whose weights are published.
    expects: Standardize = "imagenet"

    def __init__(
        self, name: str, channels: int, stages: list[nn.Module], dims: list[int], stride: int
    ) -> None:
        super().__init__()
        self.name = name
        self.channels = channels
        self.blocks = nn.ModuleList(stages)
        self.stage_dims = dims
        self.dim = dims[-1]
        self.stride = stride  # pixels between the values of the last map; 0 where that is no map

    def stages(self, x: Tensor) -> list[Tensor]:
        """Maps ``(N, D_i, H_i, W_i)`` after each stage."""
        maps = []
        for block in self.blocks:
            x = block(x)
            maps.append(x)
        return maps

    def forward(self, x: Tensor) -> Tensor:
        """Features ``(N, D)``: the last map averaged over space."""
        for block in self.blocks:
            x = block(x)
        return x.mean(dim=(2, 3))

    def adapt(self, name: str, value: Tensor) -> tuple[Tensor, str] | None:
        """A published tensor that has another shape than ours of this name, made to fit, and how in words."""
        wanted = self.state_dict()[name].shape
        if value.ndim == 4 and value.shape[1] == 3 and wanted == (len(value), 1, *value.shape[2:]):
            words = f"{name}: weights of three colors summed, which is exact for gray images"
            return value.sum(dim=1, keepdim=True), words
        return None

    def objection(self, prefix: str, tensors: Mapping[str, Tensor]) -> str | None:
        """Why published tensors that fit, found under ``prefix``, are of another network all the same."""
        return None


@contextmanager
def maps_kept(encoder: Encoder) -> Iterator[None]:
    """Within, the maps of one batch of images are computed once, whoever asks for them."""
    known: list[tuple[Tensor, list[Tensor]]] = []
    compute = encoder.stages

    def stages(x: Tensor) -> list[Tensor]:
        for images, maps in known:
            if images is x:
                return maps
        known.append((x, compute(x)))
        return known[-1][1]

    encoder.stages = stages  # type: ignore[method-assign]
    try:
        yield
    finally:
        del encoder.stages  # the class has it again


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut (He et al. 2016, arXiv:1512.03385)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, H, W)`` to ``(N, C', H/stride, W/stride)``."""
        return torch.relu(self.body(x) + self.shortcut(x))


class PreActivationBlock(nn.Module):
    """Norm and ReLU before each convolution (Zagoruyko & Komodakis 2016, arXiv:1605.07146)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(inputs)
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
        )
        same = stride == 1 and inputs == outputs
        self.shortcut = None if same else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, H, W)`` to ``(N, C', H/stride, W/stride)``."""
        active = torch.relu(self.norm(x))
        change: Tensor = self.body(active)
        return change + (x if self.shortcut is None else self.shortcut(active))
