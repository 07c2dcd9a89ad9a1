"""Patches that move through a video, each followed for some frames: material for `video-triplet`.

After Wang & Gupta (2015, arXiv:1505.00687), with other tools: corners instead of SURF points, pyramidal
Lucas-Kanade with a forward-backward check instead of dense trajectories and KCF, and the camera's motion as
the similarity that most points obey. Nothing is random. Boxes and points are in pixels of the working frames.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from onlygood.pretrain.video.flow import (
    FEWEST,
    MOVING,
    Points,
    camera_motion,
    corners,
    flow,
    growth,
    transform,
)
from onlygood.pretrain.video.frames import Frame, Frames, opencv
from onlygood.pretrain.video.pictures import refuse_mixing, save_pictures, shown, source_name
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.files import display
from onlygood.runtime.images.resize import resize
from onlygood.runtime.images.spec import InputSpec
from onlygood.runtime.strict import Strict

_DISAGREE = 0.125  # of a patch's side: points that disagree by more do not belong to one thing
_SCALES = (0.5, 2.0)  # a patch that shrinks or grows beyond is lost
_SHIFTS = 5  # rounds of centering a window on its moving points


class TracksConfig(Strict):
    """What is cut out of a video; the paper takes patches of 227 px from frames of 448 × 600 px."""

    size: int = Field(default=96, ge=8, le=4096)  # px, side of a patch as it is written
    length: int = Field(default=30, ge=2)  # frames from the first patch to the last, both counted
    patch: float = Field(default=0.5, gt=0, le=1)  # side of a patch, as a share of the frame's shorter side
    patches: int = Field(default=1, ge=1)  # at most, that begin at one frame
    every: int = Field(default=10, ge=1)  # frames from one look for moving patches to the next
    side: int = Field(default=448, ge=64, le=4096)  # px, the frames' shorter side; larger frames are shrunk
    moving: tuple[float, float] = (0.25, 0.75)  # share of points that move, in frames where patches begin
    displacement: float = Field(default=0.05, ge=0)  # of a patch's side, beyond the camera's motion

    @model_validator(mode="after")
    def _ordered(self) -> "TracksConfig":
        if not 0 <= self.moving[0] < self.moving[1] <= 1:
            raise ValueError("moving: two shares from 0 to 1, the smaller first")
        return self


@dataclass(frozen=True)
class Summary:
    """What `extract` did; ``bad`` names the frames that were skipped, each with a reason."""

    tracks: int
    frames: int  # read
    bad: tuple[tuple[str, str], ...]
    dropped: dict[str, int]  # patches that were begun and given up, by reason

    @property
    def skipped(self) -> int:
        """Number of frames that could not be used."""
        return len(self.bad)


class Box(NamedTuple):
    """A square."""

    x: float  # of its center
    y: float
    side: float

    def inside(self, height: int, width: int) -> bool:
        """Whether it lies in a frame of this size, within half a pixel."""
        reach = self.side / 2 - 0.5
        return reach <= self.x <= width - reach and reach <= self.y <= height - reach

    def meets(self, other: "Box") -> bool:
        """Whether the two overlap."""
        return max(abs(self.x - other.x), abs(self.y - other.y)) < (self.side + other.side) / 2

    def holds(self, points: Points) -> NDArray[np.bool_]:
        """Which points lie in it, ``(n,)``."""
        near: NDArray[np.bool_] = np.abs(points - np.array([self.x, self.y])) <= self.side / 2
        return near[:, 0] & near[:, 1]


@dataclass(frozen=True)
class Track:
    """A patch at its first and its last frame."""

    start: int  # index of the first frame, counting those that could be read
    first: Box
    last: Box
    pixels: Frame  # ``(size, 2 · size, 3)``: first | last


@dataclass
class Tally:
    """Why there are as many tracks as there are."""

    shares: list[float] = field(default_factory=list)  # of moving points, at each look
    begun: int = 0
    dropped: Counter[str] = field(default_factory=Counter)


def extract(source: Path, out: Path, config: TracksConfig, progress: bool) -> Summary:
    """Write the tracks of one video into ``out``, one PNG each, first and last patch side by side.

    Files are named ``<source>-<first frame>-<number>.png``, so that one folder can take several videos; they
    appear when all are finished.

    Args:
        source: a video file, or a folder of frames.
        out: made if need be.
        config: what to look for.
        progress: show a bar on stderr, if that is a terminal.

    Raises:
        OnlygoodError: no such source, no video, fewer than two frames, nothing moves, or ``out`` cannot be
            written or has tracks of a source of this name already.
    """
    frames, tally = Frames(source, config.side), Tally()
    name = source_name(source)
    refuse_mixing(source, out, name, "tracks")
    written = save_pictures(out, name, find_tracks(shown(frames, "tracking", progress), config, tally))
    if frames.read < 2:
        reasons = "".join(f"; {bad}: {reason}" for bad, reason in frames.bad[:3])
        raise OnlygoodError(
            f"{display(source)}: motion takes two frames at least, and {frames.read} could be read{reasons}"
        )
    if not written:
        raise OnlygoodError(f"{display(source)}: {_nothing(frames.read, tally, config)}")
    return Summary(written, frames.read, tuple(frames.bad), dict(tally.dropped))


def _nothing(frames: int, tally: Tally, config: TracksConfig) -> str:
    """Why no patch was found, and what may help."""
    if frames < config.length:
        return (
            f"{frames} frames are fewer than the {config.length} that a patch is followed for; "
            "choose a shorter length, or a longer video"
        )
    low, high = (round(100 * share) for share in config.moving)
    if tally.begun:
        reasons = ", ".join(f"{count} {reason}" for reason, count in tally.dropped.most_common())
        return (
            f"of {tally.begun} moving patches none could be followed for {config.length} frames ({reasons}); "
            "choose a shorter length or a smaller patch"
        )
    if not tally.shares:
        return "no moving patches found: the frames show too little that can be followed from one to the next"
    few = sum(share < config.moving[0] for share in tally.shares)
    many = sum(share > config.moving[1] for share in tally.shares)
    return (
        f"no moving patches found, for they begin where {low} to {high} % of the points move by themselves: "
        f"of {len(tally.shares)} frames looked at, {few} have fewer and {many} have more, at the median "
        f"{100 * float(np.median(tally.shares)):.0f} %; take a video in which things move before a "
        "background, or widen the range `moving`"
    )


# --- the whole video


def find_tracks(frames: Iterable[Frame], config: TracksConfig, tally: Tally) -> Iterator[Track]:
    """Follow moving patches through ``frames``; two frames are held at a time, however long the video."""
    living: list[_Patch] = []
    for index, ((frame, before), (following, after)) in enumerate(pairwise(_with_gray(frames))):
        looking = index % config.every == 0
        if not (looking or living):
            continue
        points = corners(before)
        moved, good = flow(before, after, points)
        points, moved = points[good], moved[good]
        camera = camera_motion(points, moved)
        if looking and camera is not None:
            alone = np.linalg.norm(moved - transform(camera, points), axis=1) > MOVING
            share = float(alone.mean())
            tally.shares.append(share)
            if config.moving[0] <= share <= config.moving[1]:
                taken = [patch.box for patch in living]
                for box, moving in _windows(points, alone, frame.shape, taken, config):
                    living.append(_Patch(index, box, moving, _cut(frame, box, config.size)))
                    tally.begun += 1
        living = [patch for patch in living if _survives(patch, before, after, camera, tally)]
        for patch in [patch for patch in living if index + 2 == patch.start + config.length]:
            living.remove(patch)
            if patch.traveled < config.displacement * patch.first.side:
                tally.dropped["hardly moved"] += 1
                continue
            pixels = np.concatenate([patch.pixels, _cut(following, patch.box, config.size)], axis=1)
            yield Track(patch.start, patch.first, patch.box, pixels)
    if living:
        tally.dropped["met the end of the video"] += len(living)


def _with_gray(frames: Iterable[Frame]) -> Iterator[tuple[Frame, Frame]]:
    cv2 = opencv()
    for frame in frames:
        yield frame, cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)


def _survives(
    patch: "_Patch", before: Any, after: Any, camera: NDArray[np.float64] | None, tally: Tally
) -> bool:
    reason = "lost" if camera is None else patch.follow(before, after, camera)
    if reason:
        tally.dropped[reason] += 1
    return not reason


def _windows(
    points: Points,
    alone: NDArray[np.bool_],
    shape: tuple[int, ...],
    taken: Sequence[Box],
    config: TracksConfig,
) -> list[tuple[Box, Points]]:
    """Windows around the most points that move ``alone``, with these points, apart from the boxes ``taken``.

    In each window, at least as large a share of the points must move as in a whole frame: at the edges of a
    moving thing, some points of the background seem to move too.
    """
    height, width = shape[:2]
    side = max(8, round(config.patch * min(height, width)))
    found: list[tuple[Box, Points]] = []
    while len(found) < config.patches:
        box = _window(points[alone], height, width, side, [*taken, *(box for box, _ in found)])
        inside = box.holds(points)
        moving = points[inside & alone]
        if len(moving) < max(FEWEST, config.moving[0] * inside.sum()):
            break
        found.append((box, moving))
    return found


def _window(points: Points, height: int, width: int, side: int, taken: Sequence[Box]) -> Box:
    """The free window with the most points, centered on them if possible; of no size if there is none."""
    counts = np.zeros((height + 1, width + 1), np.int64)
    x, y = points.astype(np.int64).clip(0, [width - 1, height - 1]).T
    np.add.at(counts, (y + 1, x + 1), 1)
    counts = counts.cumsum(axis=0).cumsum(axis=1)
    sums = counts[side:, side:] - counts[:-side, side:] - counts[side:, :-side] + counts[:-side, :-side]
    half = side / 2
    top, left = np.ogrid[: sums.shape[0], : sums.shape[1]]
    for box in taken:
        apart = (box.side + side) / 2
        sums[(np.abs(top + half - box.y) < apart) & (np.abs(left + half - box.x) < apart)] = 0
    y0, x0 = np.unravel_index(int(sums.argmax()), sums.shape)
    if not sums[y0, x0]:
        return Box(0.0, 0.0, 0.0)
    best = Box(float(x0 + half), float(y0 + half), float(side))
    for _ in range(_SHIFTS):
        at = points[best.holds(points)].mean(axis=0).clip(half, [width - half, height - half])
        box = Box(float(at[0]), float(at[1]), float(side))
        if box.holds(points).sum() < best.holds(points).sum() or any(box.meets(other) for other in taken):
            break
        best = box
    return best


def _cut(frame: Frame, box: Box, size: int) -> Frame:
    """The pixels of a box, ``(size, size, 3)``."""
    height, width = frame.shape[:2]
    side = min(round(box.side), height, width)
    left = min(max(round(box.x - side / 2), 0), width - side)
    top = min(max(round(box.y - side / 2), 0), height - side)
    return resize(frame[top : top + side, left : left + side], InputSpec(height=size, width=size, channels=3))


# --- one patch


class _Patch:
    """A box that goes with the points that moved in it when it was begun.

    Its place and size follow by medians from where the points are now and where they were at first (median
    flow, Kalal et al. 2010), so errors do not add up. Points that cannot be followed back, or that go another
    way than most, are left behind. When two thirds are gone, the patch is lost.
    """

    def __init__(self, start: int, box: Box, points: Points, pixels: Frame) -> None:
        self.start, self.first, self.box, self.pixels = start, box, box, pixels
        self._origins, self._points = points, points
        self._enough = max(FEWEST, len(points) / 3)
        self._still = np.array([[box.x, box.y]])  # where the box would be if only the camera had moved

    @property
    def traveled(self) -> float:
        """Pixels from where the camera's motion alone would have brought it."""
        return float(np.linalg.norm(self._still[0] - (self.box.x, self.box.y)))

    def follow(self, before: Any, after: Any, camera: NDArray[np.float64]) -> str:
        """Go on to the next frame; the reason if that cannot be, else ""."""
        self._still = transform(camera, self._still)
        moved, good = flow(before, after, self._points)
        self._origins, moved = self._origins[good], moved[good]
        if len(moved) < self._enough:
            return "lost"
        scale = growth(self._origins, moved)
        if not _SCALES[0] <= scale <= _SCALES[1]:
            return "lost"
        centers = moved + scale * (np.array([self.first.x, self.first.y]) - self._origins)
        center = np.median(centers, axis=0)
        off = np.linalg.norm(centers - center, axis=1)
        usual = float(np.median(off))
        if usual > _DISAGREE * self.first.side * scale:
            return "lost"
        agree = off <= 3 * usual + 1
        self._origins, self._points = self._origins[agree], moved[agree]
        if len(self._points) < self._enough:
            return "lost"
        self.box = Box(float(center[0]), float(center[1]), self.first.side * scale)
        return "" if self.box.inside(*after.shape) else "left the frame"
