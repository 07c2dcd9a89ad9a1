"""Views by hand values and by what they must not change; all draws from the generator that is given."""

import math
from typing import Any

import pytest
import torch
from tiny import generator
from torch import Tensor

from onlygood.pretrain.views.geometry import rotations
from onlygood.pretrain.views.views import (
    Standardize,
    Views,
    black_white,
    channels_seen,
    random_blur,
    random_crop,
    random_flip,
    random_resized_crop,
    random_view,
    recolor,
    to_float,
)
from onlygood.runtime.errors import OnlygoodError

LUMA = torch.tensor([0.299, 0.587, 0.114])


def noise(*shape: int, seed: int = 9) -> Tensor:
    return torch.randn(shape, generator=generator(seed))


def pixels(*shape: int, seed: int = 9) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator(seed))


def coordinates(batch: int, height: int, width: int) -> Tensor:
    """``(B, 3, H, W)``: which image, row and column each pixel was."""
    axes = torch.meshgrid(torch.arange(batch), torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack(axes, dim=1).float()


# --- to_float -----------------------------------------------------------------


def test_fixed_standardization_by_hand() -> None:
    x = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 1, 1, 3)
    assert to_float(x, "fixed").flatten().tolist() == pytest.approx([-2.0, -1.2, 2.0])


def test_image_standardization_by_hand() -> None:
    # Mean 20, deviation 10 over all channels together; 8 gray levels are added to the deviation.
    x = torch.tensor([10, 30, 10, 30], dtype=torch.uint8).view(1, 2, 1, 2)
    assert to_float(x, "image").flatten().tolist() == pytest.approx([-10 / 18, 10 / 18] * 2)


def test_image_standardization_drops_exposure_and_keeps_color() -> None:
    x = torch.randint(0, 100, (3, 3, 8, 8), dtype=torch.uint8, generator=generator())
    torch.testing.assert_close(to_float(x + 100, "image"), to_float(x, "image"))
    tinted = x.clone()
    tinted[:, 0] += 60
    assert (to_float(tinted, "image")[:, 0].mean() - to_float(tinted, "image")[:, 1].mean()) > 0.5


def test_image_standardization_is_of_each_image_alone() -> None:
    x = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8, generator=generator())
    torch.testing.assert_close(to_float(x, "image")[:1], to_float(x[:1], "image"))


def test_a_flat_image_becomes_zero() -> None:
    assert not to_float(torch.full((1, 3, 4, 4), 77, dtype=torch.uint8), "image").any()


# --- crops and flips ----------------------------------------------------------


def test_random_crop_is_a_window_of_its_own_image() -> None:
    x = coordinates(64, 7, 9)
    out = random_crop(x, 5, generator())
    assert out.shape == (64, 3, 5, 5)
    assert torch.equal(out[:, 0], torch.arange(64.0).view(-1, 1, 1).expand(-1, 5, 5))
    top, left = out[:, 1, 0, 0], out[:, 2, 0, 0]
    offsets = torch.arange(5.0)
    assert torch.equal(out[:, 1], (top[:, None] + offsets)[:, :, None].expand(-1, -1, 5))
    assert torch.equal(out[:, 2], (left[:, None] + offsets)[:, None, :].expand(-1, 5, -1))
    assert set(top.tolist()) == {0, 1, 2}  # both ends can be had
    assert set(left.tolist()) == {0, 1, 2, 3, 4}


def test_a_crop_of_the_whole_image_is_the_image() -> None:
    x = noise(2, 3, 6, 6)
    assert torch.equal(random_crop(x, 6, generator()), x)


@pytest.mark.parametrize("flips", [(True, False), (False, True)])
def test_crops_mirror_half_of_their_windows(flips: tuple[bool, bool]) -> None:
    """Rows and columns of pixels run backwards for one half, and along the axis asked for alone."""
    y, x = torch.meshgrid(torch.arange(12.0), torch.arange(12.0), indexing="ij")
    ramps = torch.stack([x, y]).expand(400, -1, -1, -1)
    for out in (
        random_crop(ramps, 8, generator(), flips),
        random_resized_crop(ramps, 8, (0.5, 0.9), generator(), flips),
    ):
        backwards = [(out[:, 0, 0, 0] > out[:, 0, 0, -1]), (out[:, 1, 0, 0] > out[:, 1, -1, 0])]
        for turned, flip in zip(backwards, flips, strict=True):
            share = turned.float().mean()
            assert 0.4 < share < 0.6 if flip else share == 0


def test_colors_of_a_brighter_image_are_the_brighter_colors() -> None:
    """All in one matrix is the same as one after the other."""
    x = noise(50, 3, 4, 4)
    views = Views(brightness=0.4, contrast=0.4, gray=1.0)
    brighter = recolor(x, views.model_copy(update={"gray": 0.0}), generator())
    luma = torch.einsum("c,bchw->bhw", LUMA, brighter)[:, None].expand_as(x)
    torch.testing.assert_close(recolor(x, views, generator()), luma, atol=1e-5, rtol=1e-4)


def test_resized_crops_are_as_exact_under_bfloat16() -> None:
    x = noise(4, 3, 40, 56)
    with torch.autocast("cpu", torch.bfloat16):
        out = random_resized_crop(x, 32, (0.2, 1.0), generator())
    assert torch.equal(out, random_resized_crop(x, 32, (0.2, 1.0), generator()))


def test_resized_crop_stays_inside_and_has_the_area_asked_for() -> None:
    """Sampled coordinates tell where the window was; of linear ramps bilinear sampling is exact."""
    side = 64
    y, x = torch.meshgrid(torch.arange(side).float(), torch.arange(side).float(), indexing="ij")
    ramps = torch.stack([y, x]).expand(200, -1, -1, -1)
    out = random_resized_crop(ramps, 16, (0.3, 0.5), generator())
    spans = [(out[:, 0, -1, 0] - out[:, 0, 0, 0]), (out[:, 1, 0, -1] - out[:, 1, 0, 0])]
    height, width = (span * 16 / 15 / side for span in spans)  # of the windows, from their pixels' centers
    area, aspect = height * width, width / height
    assert 0.3 - 1e-3 < area.min() < 0.32
    assert 0.48 < area.max() < 0.5 + 1e-3
    assert 3 / 4 - 1e-3 < aspect.min() < 0.8
    assert 1.25 < aspect.max() < 4 / 3 + 1e-3
    for ramp in (out[:, 0], out[:, 1]):  # nothing from beyond the border
        assert ramp.min() >= 0
        assert ramp.max() <= side - 1


@pytest.mark.parametrize("shape", [(64, 64), (32, 64), (120, 30)])
def test_resized_crops_of_any_image_are_about_square(shape: tuple[int, int]) -> None:
    """In pixels of the image; and at the full area they take as much as a window of 3/4 to 4/3 can."""
    y, x = torch.meshgrid(*(torch.arange(side).float() for side in shape), indexing="ij")
    ramps = torch.stack([y, x]).expand(300, -1, -1, -1)
    out = random_resized_crop(ramps, 16, (0.02, 1.0), generator())
    height, width = out[:, 0, -1, 0] - out[:, 0, 0, 0], out[:, 1, 0, -1] - out[:, 1, 0, 0]
    aspect = width / height
    assert 3 / 4 - 1e-3 < aspect.min() < 0.8
    assert 1.25 < aspect.max() < 4 / 3 + 1e-3
    assert torch.maximum(height / shape[0], width / shape[1]).max() * 16 / 15 > 0.97


def test_colors_change_all_together_or_not_at_all() -> None:
    views = Views(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, jitter_probability=0.7)
    x = noise(400, 3, 2, 2)
    out = recolor(x, views, generator())
    same = (out - x).abs().amax(dim=(1, 2, 3)) < 1e-6
    assert 0.24 < same.float().mean() < 0.36
    always = recolor(x, views.model_copy(update={"jitter_probability": 1.0}), generator())
    torch.testing.assert_close(out[~same], always[~same])


def test_flips_mirror_half_of_the_images_and_only_along_their_dimension() -> None:
    x = noise(400, 1, 2, 3)
    out = random_flip(x, 3, generator())
    kept, mirrored = (out == x).all(dim=(1, 2, 3)), (out == x.flip(3)).all(dim=(1, 2, 3))
    assert (kept ^ mirrored).all()
    assert 0.4 < mirrored.float().mean() < 0.6


# --- brightness, color, blur -------------------------------------------------


def test_brightness_shifts_and_contrast_scales_about_the_mean() -> None:
    x = noise(500, 3, 4, 4) + 2
    shifted = recolor(x, Views(brightness=0.3), generator()) - x
    torch.testing.assert_close(shifted, shifted[:, :1, :1, :1].expand_as(x), atol=1e-5, rtol=0)
    assert -0.301 < shifted.min() < -0.28
    assert 0.28 < shifted.max() < 0.301
    scaled = recolor(x, Views(contrast=0.3), generator())
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    torch.testing.assert_close(scaled.mean(dim=(1, 2, 3), keepdim=True), mean)
    gain = scaled.std(dim=(1, 2, 3)) / x.std(dim=(1, 2, 3))
    assert 0.7 - 1e-3 < gain.min() < 0.72
    assert 1.28 < gain.max() < 1.3 + 1e-3


def test_color_keeps_luma_and_gray_and_turns_by_at_most_the_hue() -> None:
    x = noise(200, 3, 4, 4)
    out = recolor(x, Views(saturation=0.5, hue=0.1), generator())
    luma = torch.einsum("c,bchw->bhw", LUMA, out - x)
    assert luma.abs().max() < 1e-3
    gray = x[:, :1].expand(-1, 3, -1, -1)
    torch.testing.assert_close(
        recolor(gray, Views(saturation=0.5, hue=0.1), generator()), gray, atol=2e-3, rtol=0
    )
    # In the plane of chrominance each image is turned by one angle and stretched by one factor.
    yiq = torch.tensor([[0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
    before, after = (torch.complex(*torch.einsum("ij,bjhw->ibhw", yiq, image)) for image in (x, out))
    ratio = after / before
    torch.testing.assert_close(ratio, ratio[:, :1, :1].expand_as(ratio), atol=1e-3, rtol=1e-2)
    assert 0.5 - 1e-3 < ratio.abs().min() < ratio.abs().max() < 1.5 + 1e-3
    assert 0.09 < ratio.angle().abs().max() / (2 * math.pi) < 0.101


def test_gray_is_the_luma_for_its_share_of_images() -> None:
    x = noise(500, 3, 2, 2)
    out = recolor(x, Views(gray=0.2), generator())
    gray = (out == out[:, :1]).all(dim=1).all(dim=(1, 2))
    assert 0.14 < gray.float().mean() < 0.26
    assert torch.equal(out[~gray], x[~gray])
    torch.testing.assert_close(out[gray][:, 0], torch.einsum("c,bchw->bhw", LUMA, x[gray]))


def test_blur_keeps_flat_images_and_means_and_takes_contrast() -> None:
    flat = torch.full((4, 3, 24, 24), 1.7)
    torch.testing.assert_close(random_blur(flat, 1.0, generator()), flat)
    point = torch.zeros(50, 1, 45, 45)
    point[:, :, 22, 22] = 1.0
    out = random_blur(point, 1.0, generator())
    torch.testing.assert_close(out.sum(dim=(1, 2, 3)), torch.ones(50))
    torch.testing.assert_close(out, out.flip(2))
    torch.testing.assert_close(out, out.transpose(2, 3))
    assert out[:, 0, 22, 22].min() < 0.3
    assert out[:, 0, 22, 22].max() > 0.9  # each image has its own width
    assert not out[:, :, :20].any()  # two pixels to each side: a twentieth of the image


def test_blur_changes_a_share_of_the_images() -> None:
    """Each is as it was, or as if all had been blurred; one alone is left whole."""
    x = torch.rand(200, 3, 16, 16, generator=generator())
    some, every = random_blur(x, 0.3, generator(1)), random_blur(x, 1.0, generator(1))
    kept = (some == x).flatten(1).all(dim=1)
    assert 0.6 < kept.float().mean() < 0.8
    torch.testing.assert_close(some[~kept], every[~kept], rtol=0, atol=0)
    assert torch.equal(random_blur(x[:1], 1e-9, generator()), x[:1])


def test_blur_is_as_exact_under_bfloat16() -> None:
    x = torch.rand(20, 3, 24, 24, generator=generator())
    with torch.autocast("cpu", torch.bfloat16):
        out = random_blur(x, 0.5, generator())
    assert torch.equal(out, random_blur(x, 0.5, generator()))


def test_blur_by_hand() -> None:
    """The ratio of a neighbor to the center tells the sigma that was drawn, and all neighbors agree."""
    point = torch.zeros(1, 1, 45, 45)
    point[:, :, 22, 22] = 1.0
    profile = random_blur(point, 1.0, generator(3))[0, 0, 22, 20:25]
    sigma2 = -1 / (2 * math.log(profile[1] / profile[2]))
    weights = torch.exp(-(torch.arange(-2.0, 3.0) ** 2) / (2 * sigma2))
    torch.testing.assert_close(profile / profile.sum(), weights / weights.sum())


# --- the whole view -----------------------------------------------------------

STRONG = Views(
    scale=(0.3, 1.0),
    size=16,
    flip_vertical=True,
    brightness=0.4,
    contrast=0.4,
    saturation=0.4,
    hue=0.1,
    jitter_probability=0.8,
    gray=0.2,
    blur=0.5,
)


@pytest.mark.parametrize("views", [STRONG, Views(crop=8), Views()], ids=["strong", "crop", "flip"])
def test_views_are_a_function_of_the_generator_alone(views: Views) -> None:
    x = pixels(16, 3, 20, 24)
    torch.manual_seed(1)
    first = random_view(x, "image", views, generator(5))
    torch.manual_seed(2)
    before = torch.random.get_rng_state()
    assert torch.equal(random_view(x, "image", views, generator(5)), first)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not torch.equal(random_view(x, "image", views, generator(6)), first)


@pytest.mark.parametrize("standardize", ["image", "fixed", "unit", "plain", "imagenet"])
def test_a_crop_is_standardized_as_its_whole_image(standardize: Standardize) -> None:
    x = pixels(8, 3, 20, 24)
    x[:, :, :, 12:] //= 4  # halves of unlike brightness: a crop's own statistics would differ
    crop = random_view(x, standardize, Views(crop=8, flip=False), generator())
    torch.testing.assert_close(crop, random_crop(to_float(x, standardize), 8, generator()))


def test_every_image_has_its_own_view() -> None:
    x = pixels(1, 3, 20, 24).expand(12, -1, -1, -1)
    out = random_view(x, "image", STRONG, generator())
    assert torch.cdist(out.flatten(1), out.flatten(1)).fill_diagonal_(1).min() > 0.1


@pytest.mark.parametrize(
    ("views", "shape"),
    [
        (Views(), (20, 24)),
        (Views(crop=16), (16, 16)),
        (Views(crop=64), (20, 20)),  # larger than the image: as large as it goes
        (Views(size=32), (32, 32)),
        (Views(scale=(0.5, 1)), (20, 20)),
    ],
)
def test_sizes(views: Views, shape: tuple[int, int]) -> None:
    assert random_view(pixels(2, 3, 20, 24), "image", views, generator()).shape == (2, 3, *shape)


@pytest.mark.parametrize("views", [Views(flip=False), Views(flip=False, saturation=0.9, hue=0.5, gray=1.0)])
def test_what_is_off_changes_nothing_and_gray_images_have_no_color(views: Views) -> None:
    x = pixels(3, 1, 8, 8)
    assert torch.equal(random_view(x, "image", views, generator()), to_float(x, "image"))


def test_jitter_probability_leaves_the_other_images_alone() -> None:
    x = pixels(400, 3, 4, 4)
    views = Views(flip=False, brightness=1.0, jitter_probability=0.25)
    changed = (
        (random_view(x, "fixed", views, generator()) != to_float(x, "fixed")).any(dim=1).any(dim=1).any(dim=1)
    )
    assert 0.17 < changed.float().mean() < 0.33


@pytest.mark.parametrize("values", [{"contrast": 1.0}, {"hue": 0.6}, {"crop": 4}, {"blurr": 0.5}])
def test_views_refuse_what_makes_no_sense(values: dict[str, Any]) -> None:
    with pytest.raises(OnlygoodError, match=next(iter(values))):
        Views.parse(values, "views")


# --- geometry -----------------------------------------------------------------


def test_rotations_by_hand() -> None:
    x = torch.tensor([[1.0, 2], [3, 4]])[None, None]
    turned = rotations(x)[:, 0, 0]
    assert turned.tolist() == [[[1, 2], [3, 4]], [[2, 4], [1, 3]], [[4, 3], [2, 1]], [[3, 1], [4, 2]]]


@pytest.mark.parametrize("k", range(4))
def test_turning_back_gives_the_image(k: int) -> None:
    x = pixels(3, 2, 5, 5)
    assert torch.equal(rotations(x)[k].rot90(-k, dims=(2, 3)), x)


def test_two_quarter_turns_are_a_half() -> None:
    x = pixels(2, 1, 4, 4)
    assert torch.equal(rotations(rotations(x)[1])[1], rotations(x)[2])


def test_standards_of_others_by_hand() -> None:
    levels = torch.tensor([0, 127, 255], dtype=torch.uint8).view(1, 3, 1, 1)
    unit, plain, imagenet = (
        to_float(levels, way).flatten().tolist() for way in ("unit", "plain", "imagenet")
    )
    assert unit == pytest.approx([-1, 127 / 127.5 - 1, 1])
    assert plain == pytest.approx([0, 127 / 255, 1])
    assert imagenet == pytest.approx([-0.485 / 0.229, (127 / 255 - 0.456) / 0.224, (1 - 0.406) / 0.225])


def test_gray_images_have_three_channels_under_imagenet_s_standard() -> None:
    gray = torch.randint(0, 256, (2, 1, 12, 12), dtype=torch.uint8, generator=generator())
    color = gray.expand(-1, 3, -1, -1)
    for views in (None, Views(crop=8, flip=False), Views(size=8, scale=(0.5, 1.0))):
        if views is None:
            one, other = to_float(gray, "imagenet"), to_float(color, "imagenet")
        else:
            one, other = (random_view(x, "imagenet", views, generator()) for x in (gray, color))
        torch.testing.assert_close(one, other)
    assert [channels_seen(1, way) for way in ("image", "unit", "imagenet", None)] == [1, 1, 3, 1]


@pytest.mark.parametrize("standardize", ["image", "fixed", "unit", "plain", "imagenet"])
@pytest.mark.parametrize("channels", [1, 3])
def test_black_and_white_are_what_such_pixels_become(standardize: Standardize, channels: int) -> None:
    images = torch.randint(0, 256, (3, channels, 6, 5), dtype=torch.uint8, generator=generator(0))
    images[:, :, 0, 0], images[:, :, 0, 1] = 0, 255
    black, white = black_white(images, standardize)
    x = to_float(images, standardize)
    torch.testing.assert_close(x[:, :, :1, :1], black.expand(-1, x.shape[1], 1, 1))
    torch.testing.assert_close(x[:, :, :1, 1:2], white.expand(-1, x.shape[1], 1, 1))
