"""What moves by itself in a video, as masks beside its frames: material for `motion-segmentation`.

The masks of Pathak et al. (2017, arXiv:1612.06370) come from NLC, which joins superpixels of a whole shot
that look and move alike. Here a mask is of three frames, by OpenCV alone: the camera's motion is the
homography that most of the followed corners obey, and what is left of the dense optical flow from a frame
to its two neighbors in time, once these are seen from the frame's place, is motion of its own. Nothing is
random.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from onlygood.pretrain.video.flow import camera_homography, corners, flow
from onlygood.pretrain.video.frames import Frame, Frames, opencv
from onlygood.pretrain.video.pictures import refuse_mixing, save_pictures, shown, source_name
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.files import display
from onlygood.runtime.images.resize import resize
from onlygood.runtime.images.spec import InputSpec
from onlygood.runtime.strict import Strict

STILL, DOUBTFUL, MOVES = 0, 128, 255  # values of a mask
_STILL_BELOW, _MOVING_ABOVE = 0.5, 1.0  # px between two frames, beyond the camera's motion; doubtful between
_SPECK = 1 / 400  # of a frame: smaller things that move are noise


class MotionConfig(Strict):
    """What is cut out of a video: squares of frames, each beside its mask.

    A frame is cut into as few squares as cover it. The papers take frames of whole shots.
    """

    size: int = Field(default=96, ge=8, le=4096)  # px, side of a square as it is written
    every: int = Field(default=5, ge=1)  # frames from one that is written to the next
    gap: int = Field(default=1, ge=1)  # frames to both sides, to which a frame is compared
    side: int = Field(default=240, ge=64, le=4096)  # px, the frames' shorter side; larger frames are shrunk
    moving: tuple[float, float] = (0.02, 0.6)  # share of a square that moves

    @model_validator(mode="after")
    def _ordered(self) -> "MotionConfig":
        if not 0 <= self.moving[0] < self.moving[1] <= 1:
            raise ValueError("moving: two shares from 0 to 1, the smaller first")
        return self


@dataclass(frozen=True)
class MotionSummary:
    """What `extract_motion` did; ``bad`` names the frames that were skipped, each with a reason."""

    squares: int
    frames: int  # read
    bad: tuple[tuple[str, str], ...]
    dropped: dict[str, int]  # squares that were not written, by reason

    @property
    def skipped(self) -> int:
        """Number of frames that could not be used."""
        return len(self.bad)


class Square(NamedTuple):
    """A part of a frame and its mask."""

    start: int  # index of the frame, counting those that could be read
    pixels: Frame  # ``(size, 2 · size, 3)``: frame | mask


def extract_motion(source: Path, out: Path, config: MotionConfig, progress: bool) -> MotionSummary:
    """Write squares of one video with their masks into ``out``, one PNG each, side by side.

    Files are named ``<source>-<frame>-<number>.png``; they appear when all are finished.

    Raises:
        OnlygoodError: no such source, no video, too few frames, nothing moves, or ``out`` cannot be written
            or has squares of a source of this name already.
    """
    frames, dropped = Frames(source, config.side), Counter[str]()
    name = source_name(source)
    refuse_mixing(source, out, name, "masks")
    found = find_motion(shown(frames, "segmenting", progress), config, dropped)
    written = save_pictures(out, name, found)
    if frames.read < 2 * config.gap + 1:
        reasons = "".join(f"; {bad}: {reason}" for bad, reason in frames.bad[:3])
        raise OnlygoodError(
            f"{display(source)}: a mask of motion takes {2 * config.gap + 1} frames, and {frames.read} could "
            f"be read{reasons}"
        )
    if not written:
        reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.most_common())
        raise OnlygoodError(
            f"{display(source)}: no square of a frame has a moving part of the size wanted ({reasons}); "
            "take a video in which things move before a background, or widen the range `moving`"
        )
    return MotionSummary(written, frames.read, tuple(frames.bad), dict(dropped))


def find_motion(frames: Iterable[Frame], config: MotionConfig, dropped: Counter[str]) -> Iterator[Square]:
    """Squares with their masks, from frames in order; ``2 · gap + 1`` frames are held at a time."""
    cv2, gap = opencv(), config.gap
    held: deque[tuple[Frame, Any]] = deque(maxlen=2 * gap + 1)
    for index, frame in enumerate(frames):
        held.append((frame, cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)))
        middle = index - gap
        if len(held) < 2 * gap + 1 or (middle - gap) % config.every:
            continue
        mask = motion_mask(held[0][1], held[gap][1], held[-1][1])
        if mask is None:
            dropped["without enough corners to follow"] += 1
            continue
        for part in _squares(*mask.shape):
            share = float((mask[part] == MOVES).mean())
            if config.moving[0] <= share <= config.moving[1]:
                yield Square(middle, _side_by_side(held[gap][0][part], mask[part], config.size))
            else:
                dropped["move too little" if share < config.moving[0] else "move too much"] += 1


def motion_mask(before: Any, frame: Any, after: Any) -> NDArray[np.uint8] | None:
    """What moves by itself in a gray frame ``(H, W)``: uint8 ``(H, W)``, STILL, DOUBTFUL or MOVES.

    Of what is hidden in one of its neighbors, flow tells nothing true there, so the smaller motion counts.
    None where the camera's motion cannot be told.
    """
    cv2 = opencv()
    found = [own_motion(frame, other) for other in (before, after)]
    if found[0] is None or found[1] is None:
        return None
    motion = np.fmin(found[0], found[1])  # where a neighbor does not show the place, the other's
    unseen = np.isnan(motion)
    moving = _tidied(motion > _MOVING_ABOVE)
    mask = np.where(unseen | (motion > _STILL_BELOW), DOUBTFUL, STILL)
    reach = max(1, min(moving.shape) // 100)
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    mask[cv2.dilate(moving, disk) > 0] = DOUBTFUL  # flow is no sharper than that
    mask[moving > 0] = MOVES
    return mask.astype(np.uint8)


def own_motion(frame: Any, other: Any) -> NDArray[np.float32] | None:
    """Pixels that each place of ``frame`` moves to ``other`` beyond the camera's motion, ``(H, W)``.

    NaN where ``other`` does not show the place; None where too few corners can be followed.
    """
    cv2 = opencv()
    points = corners(frame)
    moved, good = flow(frame, other, points)
    camera = camera_homography(points[good], moved[good])
    if camera is None:
        return None
    size = (frame.shape[1], frame.shape[0])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    still = cv2.warpPerspective(other, camera, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    shows = cv2.warpPerspective(np.full_like(other, 255), camera, size, flags=flags)
    dense = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(frame, still, None)
    length = np.linalg.norm(dense, axis=2)
    return np.where(shows == 255, length, np.nan).astype(np.float32)


def _tidied(moving: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Without specks and thin lines, and with holes filled: flat parts of a thing have no flow."""
    cv2 = opencv()
    reach = max(1, min(moving.shape) // 60)
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    mask = cv2.morphologyEx(moving.astype(np.uint8), cv2.MORPH_OPEN, disk)
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, disk)
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    large = [line for line in outlines if cv2.contourArea(line) >= _SPECK * mask.size]
    filled: NDArray[np.uint8] = cv2.drawContours(np.zeros_like(mask), large, -1, 1, cv2.FILLED)
    return filled


def _squares(height: int, width: int) -> list[tuple[slice, slice]]:
    """As few squares as cover a frame, evenly spread along its longer side."""
    side, long = min(height, width), max(height, width)
    starts = np.linspace(0, long - side, -(-long // side)).round().astype(int).tolist()
    along = [slice(start, start + side) for start in starts]
    whole = slice(0, side)
    return [(whole, part) if width >= height else (part, whole) for part in along]


def _side_by_side(frame: Frame, mask: NDArray[np.uint8], size: int) -> Frame:
    """Frame | mask, each ``(size, size, 3)``."""
    pixels = resize(frame, InputSpec(height=size, width=size, channels=3))
    small = opencv().resize(mask, (size, size), interpolation=opencv().INTER_NEAREST)
    return np.concatenate([pixels, np.repeat(small[..., None], 3, axis=2)], axis=1)
