"""Small decoders from an encoder's last map back to pixels; they are thrown away after pretraining."""

from torch import Tensor, nn

from onlygood.pretrain.networks.base import Encoder
from onlygood.runtime.errors import OnlygoodError


def up_convolutions(inputs: int, outputs: int, steps: int) -> nn.Sequential:
    """``(N, inputs, h, w)`` to ``(N, outputs, h·2ˢ, w·2ˢ)``; widths begin at 128 and halve down to 16.

    Each step is nearest neighbors and a 3×3 convolution, which leaves no checkerboard as strided transposes
    do. The last convolution is 1×1: with 3×3, squared errors through nine times as many weights overshoot at
    usual learning rates.
    """
    width = min(inputs, 128)
    layers: list[nn.Module] = [nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    for _ in range(steps):
        narrower = max(16, width // 2)
        layers += [
            nn.Upsample(scale_factor=2),
            nn.Conv2d(width, narrower, 3, 1, 1, bias=False),
            nn.BatchNorm2d(narrower),
            nn.ReLU(inplace=True),
        ]
        width = narrower
    return nn.Sequential(*layers, nn.Conv2d(width, outputs, 1))


class Decoder(nn.Module):
    """An encoder's last map, or ``inputs`` channels of it, to ``outputs`` values every ``stride`` pixels.

    Raises:
        OnlygoodError: the encoder keeps no map, or one that is finer than ``stride``.
    """

    def __init__(self, encoder: Encoder, outputs: int, stride: int = 1, inputs: int | None = None) -> None:
        super().__init__()
        if encoder.stride < stride:
            raise OnlygoodError(
                f"encoder {encoder.name!r} has no map to decode at {stride} px; use 'small' or a ResNet"
            )
        self.body = up_convolutions(
            inputs or encoder.dim, outputs, (encoder.stride // stride).bit_length() - 1
        )

    def forward(self, maps: Tensor, size: tuple[int, int]) -> Tensor:
        """``(N, D, h, w)`` to ``(N, outputs, *size)``; what is too much at the right and below is cut off.

        Raises:
            OnlygoodError: the map does not cover the image; patches of a transformer may not.
        """
        decoded: Tensor = self.body(maps)
        if decoded.shape[2] < size[0] or decoded.shape[3] < size[1]:
            raise OnlygoodError(
                f"the encoder's map covers {decoded.shape[2]}×{decoded.shape[3]} of {size[0]}×{size[1]} "
                "values to decode; use views whose size is a multiple of the encoder's stride"
            )
        return decoded[:, :, : size[0], : size[1]]
