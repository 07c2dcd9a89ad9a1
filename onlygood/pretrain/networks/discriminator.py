"""A small network that compares an image with its restoration; it is thrown away with the task."""

from torch import nn


def discriminator(inputs: int) -> nn.Sequential:
    """Images ``(N, inputs, H, W)`` to logits ``(N, 1, H/4, W/4)``, rounded up, each of which sees 63 px."""
    layers: list[nn.Module] = []
    for outputs, stride, dilation in [(32, 2, 1), (64, 2, 1), (64, 1, 1), (64, 1, 2), (64, 1, 4)]:
        layers += [
            nn.Conv2d(inputs, outputs, 3, stride, dilation, dilation, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        ]
        inputs = outputs
    return nn.Sequential(*layers, nn.Conv2d(inputs, 1, 1))
