"""Views of published methods, by name."""

from onlygood.pretrain.views.views import Views


def crop_and_color(smallest: float = 0.2) -> Views:
    """Crop, flip, color jitter and gray, as most methods of two views use on CIFAR (SimCLR, MoCo v2 …).

    Crops have the share ``smallest`` of the area at least. There is no blur, which helps on large images
    only.
    """
    return Views(
        scale=(smallest, 1.0),
        brightness=0.4,
        contrast=0.4,
        saturation=0.4,
        hue=0.1,
        jitter_probability=0.8,
        gray=0.2,
    )


def crop_and_much_color() -> Views:
    """Those of DROC (Sohn et al. 2021, arXiv:2011.02578): large crops; every view has colors of its own.

    Its crops have half the side at least and are square; here they are up to 4/3 as wide as high. Brightness
    is for images standardized as "fixed": 0.4 of the whole range.
    """
    return Views(
        scale=(0.25, 1.0),
        brightness=1.6,
        contrast=0.4,
        saturation=0.4,
        hue=0.4,
        jitter_probability=1.0,
        gray=0.2,
    )
