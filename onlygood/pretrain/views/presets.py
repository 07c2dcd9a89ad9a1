"""Views of published methods, by name."""

from onlygood.pretrain.views.views import Views


def crop_and_colour() -> Views:
    """Crop, flip, colour jitter and gray, as most methods of two views use on CIFAR (SimCLR, MoCo v2 …).

    Without blur, which helps on large images only.
    """
    return Views(
        scale=(0.2, 1.0),
        brightness=0.4,
        contrast=0.4,
        saturation=0.4,
        hue=0.1,
        jitter_probability=0.8,
        gray=0.2,
    )


def infomin() -> Views:
    """Stronger colours, so that two views share less (InfoMin, Tian et al. 2020); without its RandAugment."""
    return Views(
        scale=(0.2, 1.0),
        brightness=0.8,
        contrast=0.8,
        saturation=0.8,
        hue=0.2,
        jitter_probability=0.8,
        gray=0.2,
        blur=0.5,
    )
