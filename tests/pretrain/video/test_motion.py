"""Masks of what moves by itself, before a ground that rests, moves or turns; and how they are written."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from moving import HEIGHT, STEP, THING, WIDTH, Video, place, texture, video
from numpy.typing import NDArray
from PIL import Image

from onlygood.pretrain.video.motion import (
    DOUBTFUL,
    MOVES,
    STILL,
    MotionConfig,
    Square,
    extract_motion,
    find_motion,
    motion_mask,
)
from onlygood.runtime.errors import OnlygoodError

cv2 = pytest.importorskip("cv2")

cv2.setNumThreads(1)  # many threads on tiny frames only wait for each other

OPTIONS: dict[str, Any] = {"size": 32, "side": 128, "every": 1}


def config(**options: Any) -> MotionConfig:
    return MotionConfig(**(OPTIONS | options))


def mask_of(frames: Video, middle: int = 4) -> NDArray[np.uint8]:
    gray = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames[middle - 1 : middle + 2]]
    mask = motion_mask(*gray)
    assert mask is not None
    assert set(np.unique(mask)) <= {STILL, DOUBTFUL, MOVES}
    return mask


def shown(frame: int, step: tuple[int, int], camera: tuple[int, int] = (0, 0)) -> NDArray[np.bool_]:
    """Where the thing is."""
    left, top = place(frame, step, camera).astype(int) - THING // 2
    there = np.zeros((HEIGHT, WIDTH), bool)
    there[max(top, 0) : top + THING, max(left, 0) : left + THING] = True
    return there


def overlap(mask: NDArray[np.uint8], there: NDArray[np.bool_]) -> float:
    """Intersection over union."""
    return float(((mask == MOVES) & there).sum() / ((mask == MOVES) | there).sum())


def found(frames: Video, **options: Any) -> tuple[list[Square], Counter[str]]:
    dropped: Counter[str] = Counter()
    return list(find_motion(frames, config(**options), dropped)), dropped


# --- the mask


@pytest.mark.parametrize(
    ("step", "camera"),
    [
        (STEP, (0, 0)),
        ((-2, 2), (0, 0)),
        ((8, 0), (0, 0)),
        ((3, 0), (1, 1)),
        ((5, 3), (3, 1)),
        ((3, 1), (3, 1)),
    ],
)
def test_a_thing_that_moves_is_told_from_its_ground(step: tuple[int, int], camera: tuple[int, int]) -> None:
    """Also before a moving camera, and where that goes along with the thing."""
    mask = mask_of(video(step=step, camera=camera))
    assert overlap(mask, shown(4, step, camera)) > 0.85
    assert (mask == DOUBTFUL).mean() < 0.05


@pytest.mark.parametrize("camera", [(0, 0), (3, 1), (2, 6)])
def test_the_cameras_motion_is_none_of_things(camera: tuple[int, int]) -> None:
    for frames in (video(step=(0, 0), camera=camera), video(step=(0, 0), camera=camera)[::-1]):
        mask = mask_of(frames)
        assert not (mask == MOVES).any()
        assert (mask == DOUBTFUL).mean() < 0.005


def test_neither_are_turns_and_tilts_of_the_camera() -> None:
    image = Image.fromarray(texture(2 * HEIGHT, 2 * WIDTH, 0))
    turned = [image.rotate(2 * i, Image.Resampling.BICUBIC) for i in range(3)]
    tilts = [(1, 0.01 * i, 0, 0.01 * i, 1, 0, 0.0001 * i, 0, 1) for i in range(3)]
    tilted = [
        cv2.warpPerspective(np.asarray(image), np.array(tilt).reshape(3, 3), image.size) for tilt in tilts
    ]
    for frames in (turned, tilted):
        cut = [np.asarray(frame)[64:192, 80:240] for frame in frames]
        assert (mask_of(cut, 1) == MOVES).mean() < 0.002


def test_the_flat_inside_of_a_thing_moves_too() -> None:
    frames = []
    for i, frame in enumerate(video(6)):
        left, top = place(i).astype(int) - 16
        hollow = frame.copy()
        hollow[top : top + 32, left : left + 32] = (200, 40, 40)
        frames.append(hollow)
    mask = mask_of(frames)
    left, top = place(4).astype(int) - 16
    assert overlap(mask, shown(4, STEP)) > 0.85
    assert (mask[top : top + 32, left : left + 32] == MOVES).all()


def test_noise_and_flicker_do_not_move() -> None:
    rng = np.random.default_rng(0)
    frames = [
        (frame * (1 - 0.03 * (i % 2)) + rng.normal(0, 3, frame.shape)).clip(0, 255).astype(np.uint8)
        for i, frame in enumerate(video(6, step=(0, 0), camera=(2, 1)))
    ]
    assert (mask_of(frames) == MOVES).mean() < 0.01


def test_what_no_neighbor_shows_is_in_doubt() -> None:
    """The camera jumps by 10 px and back: a margin is seen in neither frame before nor after."""
    still, jumped = video(2, (0, 0), (10, 0))
    mask = mask_of([still, jumped, still], 1)
    assert (mask[:, -9:] == DOUBTFUL).all()
    assert (mask[:, :-12] == STILL).mean() > 0.99


# --- squares of frames


def test_a_wide_frame_is_two_squares_with_their_masks() -> None:
    """Frames of 128 × 160 px are squares from 0 and from 32 px on."""
    squares, dropped = found(video(7), size=128, every=2)
    assert [square.start for square in squares] == [1, 1, 3, 3, 5, 5]
    assert not dropped
    for square, left in zip(squares, (0, 32) * 3, strict=True):
        assert square.pixels.shape == (128, 256, 3)
        part = np.s_[:, left : left + 128]
        assert np.array_equal(square.pixels[:, :128], video(7)[square.start][part])
        mask = square.pixels[:, 128:]
        assert overlap(mask[..., 0], shown(square.start, STEP)[part]) > 0.85
        assert np.array_equal(mask[..., 0], mask[..., 2])


def test_a_high_frame_is_cut_along_its_height() -> None:
    squares, _ = found([frame.transpose(1, 0, 2) for frame in video(3)], size=128)
    assert len(squares) == 2
    assert overlap(squares[1].pixels[:, 128:, 0], shown(1, STEP).T[32:]) > 0.85


@pytest.mark.parametrize(
    ("moving", "reason"), [((0.0, 0.05), "move too much"), ((0.5, 1.0), "move too little")]
)
def test_squares_are_taken_where_enough_moves_and_not_too_much(
    moving: tuple[float, float], reason: str
) -> None:
    squares, dropped = found(video(4), moving=moving)
    assert not squares
    assert dropped == {reason: 4}


def test_slow_motion_is_told_over_more_frames() -> None:
    frames = video(9, step=(1, 0))
    near, far = found(frames, gap=1)[0], found(frames, gap=4)[0]
    assert not near
    assert [square.start for square in far] == [4, 4]


def test_frames_without_corners_tell_nothing() -> None:
    squares, dropped = found([np.full((64, 64, 3), 90, np.uint8)] * 3)
    assert not squares
    assert dropped == {"without enough corners to follow": 1}


# --- what is written


def as_folder(frames: Video, folder: Path) -> Path:
    folder.mkdir()
    for i, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"frame{i}.png")
    return folder


def test_one_png_a_square_the_same_bytes_each_time(tmp_path: Path) -> None:
    source = as_folder(video(5), tmp_path / "in")
    (source / "frame9.png").write_bytes(b"no image at all")
    one, two = (extract_motion(source, tmp_path / out, config(), progress=False) for out in ("one", "two"))
    assert one == two
    assert (one.squares, one.frames, one.skipped) == (6, 5, 1)
    files = [{path.name: path.read_bytes() for path in (tmp_path / out).iterdir()} for out in ("one", "two")]
    assert files[0] == files[1]
    assert sorted(files[0])[0] == "in-000001-000001.png"
    with Image.open(tmp_path / "one" / "in-000001-000001.png") as picture:
        assert picture.size == (64, 32)
    with pytest.raises(OnlygoodError, match="holds masks of in already; remove them"):
        extract_motion(source, tmp_path / "one", config(), progress=False)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda at: at / "absent.mp4", "no such file or folder"),
        (lambda at: as_folder(video(2), at / "x"), "takes 3 frames, and 2 could be read"),
        (
            lambda at: as_folder(video(4, (0, 0), (3, 1)), at / "x"),
            r"no square .* \(4 move too little\); take a video in which things move before a background",
        ),
    ],
)
def test_errors_say_what_to_do(make: Callable[[Path], Path], message: str, tmp_path: Path) -> None:
    with pytest.raises(OnlygoodError, match=message):
        extract_motion(make(tmp_path), tmp_path / "out", config(), progress=False)


def test_the_config_says_what_is_wrong() -> None:
    with pytest.raises(OnlygoodError, match="moving: two shares from 0 to 1, the smaller first"):
        MotionConfig.parse({"moving": (0.8, 0.2)}, "--set")
