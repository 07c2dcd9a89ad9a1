"""Views of published methods, by name."""

from onlygood.pretrain.views.views import Views


def crop_and_color() -> Views:
    """Crop, flip, color jitter and gray, as most methods of two views use on CIFAR (SimCLR, MoCo v2 …).

    There is no blur, which helps on large images only.
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
