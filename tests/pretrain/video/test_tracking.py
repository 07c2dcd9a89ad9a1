"""Frames in order, and patches that are followed where a texture moves before another."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from moving import HEIGHT, STEP, THING, WIDTH, Video, place, texture, video
from numpy.typing import NDArray
from pictures import ramp
from PIL import Image

from onlygood.pretrain.video.flow import corners, flow
from onlygood.pretrain.video.frames import Frames, natural_key
from onlygood.pretrain.video.tracking import Summary, Tally, Track, TracksConfig, extract, find_tracks
from onlygood.runtime.errors import OnlygoodError

cv2 = pytest.importorskip("cv2")

cv2.setNumThreads(1)  # many threads on tiny frames only wait for each other

OPTIONS: dict[str, Any] = {"size": 32, "length": 8, "patch": 0.5, "every": 4, "moving": (0.15, 0.75)}


def config(**options: Any) -> TracksConfig:
    return TracksConfig(**(OPTIONS | options))


def found(frames: Iterable[NDArray[np.uint8]], **options: Any) -> tuple[list[Track], Tally]:
    tally = Tally()
    return list(find_tracks(frames, config(**options), tally)), tally


def as_folder(frames: Video, folder: Path, name: str = "frame{}.png") -> Path:
    folder.mkdir()
    for i, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / name.format(i))
    return folder


def as_video(frames: Video, path: Path) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (WIDTH, HEIGHT))
    for frame in frames:
        writer.write(frame[..., ::-1])
    writer.release()
    return path


def bits(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


# --- what is followed


@pytest.mark.parametrize(
    ("step", "camera"), [(STEP, (0, 0)), ((-2, 2), (0, 0)), ((3, 0), (1, 1)), ((3, 1), (3, 1))]
)
def test_a_thing_is_followed_as_it_moves(step: tuple[int, int], camera: tuple[int, int]) -> None:
    """Also before a moving camera, and where that goes along with the thing."""
    tracks, _ = found(video(step=step, camera=camera))
    assert tracks
    for track in tracks:
        first, last = (np.array([box.x, box.y]) for box in (track.first, track.last))
        assert first == pytest.approx(place(track.start, step, camera), abs=10)
        assert last - first == pytest.approx((OPTIONS["length"] - 1) * (np.array(step) - camera), abs=0.5)
        assert track.last.side == pytest.approx(track.first.side, rel=0.01)
        assert track.first.side == HEIGHT * OPTIONS["patch"]


def test_the_last_patch_shows_what_the_first_does() -> None:
    """Where the thing fills the window, most pixels are the same; on the spot, another ground is left."""
    (track, *_), _ = found(video(), patch=0.4, size=51)
    first, last = track.pixels[:, :51].astype(int), track.pixels[:, 51:].astype(int)
    assert (np.abs(first - last) < 2).mean() > 0.9
    still = video()[track.start + OPTIONS["length"] - 1]
    box = track.first
    there = still[round(box.y - 25.5) :, round(box.x - 25.5) :][:51, :51].astype(int)
    assert (np.abs(first - there) < 2).mean() < 0.1


def test_a_thing_that_grows_takes_its_box_along() -> None:
    ground, thing = texture(HEIGHT, WIDTH, 0), texture(THING, THING, 1)
    frames = []
    for i in range(8):
        frame = ground.copy()
        side = THING + 4 * i
        grown = np.asarray(Image.fromarray(thing).resize((side, side), Image.Resampling.BICUBIC))
        left, top = 48 - 2 * i, 32 - 2 * i
        frame[top : top + side, left : left + side] = grown
        frames.append(frame)
    tracks, _ = found(frames, displacement=0)
    assert len(tracks) == 1
    assert tracks[0].last.side / tracks[0].first.side == pytest.approx((THING + 28) / THING, rel=0.05)
    found_nothing, tally = found(frames)  # it stays where it is
    assert not found_nothing
    assert tally.dropped == {"hardly moved": 1}


@pytest.mark.parametrize("camera", [(0, 0), (3, 1)])
def test_nothing_is_found_where_nothing_moves_by_itself(camera: tuple[int, int]) -> None:
    """A thing at rest goes with its ground, before whatever camera."""
    tracks, tally = found(video(step=(0, 0), camera=camera), displacement=0)
    assert not tracks
    assert tally.begun == 0
    assert max(tally.shares) < 0.05


@pytest.mark.parametrize("moving", [(0.0, 0.1), (0.5, 1.0)])
def test_patches_begin_where_enough_moves_and_not_too_much(moving: tuple[float, float]) -> None:
    tracks, tally = found(video(), moving=moving)
    assert not tracks
    assert tally.begun == 0
    assert all(moving[0] > share or share > moving[1] for share in tally.shares)


def test_a_turning_camera_is_camera_motion() -> None:
    image = Image.fromarray(texture(2 * HEIGHT, 2 * HEIGHT, 0))
    turned = [image.rotate(i, Image.Resampling.BICUBIC) for i in range(10)]
    frames = [np.asarray(t)[64:192, 48:208] for t in turned]
    tracks, tally = found(frames, displacement=0)
    assert not tracks
    assert tally.begun == 0


def test_patches_that_are_followed_at_one_time_do_not_overlap() -> None:
    """One place shown by two tracks would be its own negative."""
    tracks, _ = found(video(20), every=1, patches=4, patch=0.3)
    assert len(tracks) > 2
    for one in tracks:
        for other in tracks:
            if one is not other and one.start == other.start:
                assert not one.first.meets(other.first)


def test_a_thing_that_vanishes_is_lost() -> None:
    frames = video()
    frames[5:] = [texture(HEIGHT, WIDTH, 0)] * len(frames[5:])
    tracks, tally = found(frames)
    assert not tracks
    assert tally.dropped["lost"] > 0


def in_pieces(edges: list[int], steps: list[tuple[int, int]], count: int = 10) -> Video:
    """A thing whose layers, from edge to edge in px from its top, each go their own way."""
    ground, thing = texture(HEIGHT, WIDTH, 0), texture(THING, THING, 1)
    frames = []
    for i in range(count):
        frame = ground.copy()
        for top, bottom, step in zip(edges[:-1], edges[1:], steps, strict=True):
            y, x = 32 + top + i * step[1], 48 + i * step[0]
            frame[y : y + bottom - top, x : x + THING] = thing[top:bottom]
        frames.append(frame)
    return frames


def test_points_that_go_another_way_than_most_are_left_behind() -> None:
    tracks, _ = found(in_pieces([0, 40, 64], [(2, 0), (-2, 0)]), length=10)
    assert len(tracks) == 1
    first, last = tracks[0].first, tracks[0].last
    assert (last.x - first.x, last.y - first.y) == pytest.approx((18, 0), abs=1)
    assert last.side == pytest.approx(first.side, rel=0.02)


def test_a_thing_that_falls_to_pieces_is_lost() -> None:
    tracks, tally = found(in_pieces([0, 16, 32, 48, 64], [(3, 0), (-3, 0), (0, -2), (0, 2)]), length=10)
    assert not tracks
    assert tally.dropped["lost"] > 0


def test_points_must_come_back() -> None:
    """Where another texture takes their place, points find something, but not their way back."""
    one, other = texture(HEIGHT, WIDTH, 0)[..., 0].copy(), texture(HEIGHT, WIDTH, 1)[..., 0]
    changed = one.copy()
    changed[:, 80:] = other[:, 80:]
    points = corners(one)
    _, good = flow(one, changed, points)
    kept, gone = points[:, 0] < 70, points[:, 0] > 90
    assert good[kept].mean() > 0.95
    assert good[gone].mean() < 0.2


def test_a_thing_that_leaves_is_dropped() -> None:
    tracks, tally = found(video(step=(0, 5)), length=13)
    assert not tracks
    assert tally.dropped["left the frame"] > 0


# --- frames


def test_natural_order() -> None:
    names = ["frame10.png", "frame2.png", "a.png", "frame1.png", "frame01.png", "frame2b.png", "7.png"]
    ordered = ["7.png", "a.png", "frame01.png", "frame1.png", "frame2.png", "frame2b.png", "frame10.png"]
    assert [path.name for path in sorted(map(Path, names), key=natural_key)] == ordered


def test_frames_of_a_folder_come_in_natural_order(tmp_path: Path) -> None:
    flat = [np.full((32, 40, 3), 10 * i, np.uint8) for i in range(12)]
    frames = Frames(as_folder(flat, tmp_path / "in"), 448)
    assert [int(frame[0, 0, 0]) for frame in frames] == [10 * i for i in range(12)]


def test_frames_are_shrunk_never_enlarged(tmp_path: Path) -> None:
    folder = as_folder(video(2), tmp_path / "in")
    assert next(iter(Frames(folder, 64))).shape == (64, 80, 3)
    assert next(iter(Frames(folder, 448))).shape == (HEIGHT, WIDTH, 3)
    film = as_video(video(2), tmp_path / "a.avi")
    assert next(iter(Frames(film, 64))).shape == (64, 80, 3)


def test_a_videos_colors_are_red_green_blue(tmp_path: Path) -> None:
    red = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    red[..., 0] = 200
    frame = next(iter(Frames(as_video([red], tmp_path / "a.avi"), 448)))
    assert frame.mean(axis=(0, 1)) == pytest.approx([200, 0, 0], abs=8)


def test_broken_frames_of_a_folder_are_skipped_and_named(tmp_path: Path) -> None:
    folder = as_folder(video(12), tmp_path / "in")
    (folder / "frame3.png").write_bytes(b"no image at all")
    Image.new("RGB", (64, 48)).save(folder / "frame7.png")
    summary = extract(folder, tmp_path / "out", config(), progress=False)
    assert (summary.frames, summary.skipped) == (10, 2)
    names = [Path(name).name for name, _ in summary.bad]
    assert names == ["frame3.png", "frame7.png"]
    assert "64 x 48 pixels, where the first frame has 160 x 128" in summary.bad[1][1]
    assert summary.tracks >= 1


def test_a_broken_frame_of_a_video_is_skipped_and_named(tmp_path: Path) -> None:
    film = as_video(video(12), tmp_path / "a.avi")
    data = bytearray(film.read_bytes())
    starts = [match.start() for match in re.finditer(b"\xff\xd8\xff", data)]
    assert len(starts) == 12
    data[starts[4] : starts[5] - 64] = bytes(starts[5] - 64 - starts[4])
    film.write_bytes(data)
    frames = Frames(film, 448)
    assert len(list(frames)) == frames.read == 11
    assert frames.bad == [(f"{film}, frame 5", "cannot be decoded")]


# --- what is written


def read(folder: Path) -> list[NDArray[np.uint8]]:
    return [np.asarray(Image.open(path)) for path in sorted(folder.iterdir())]


@pytest.mark.parametrize("kind", ["folder", "video"])
def test_one_png_a_track_the_same_bytes_each_time(tmp_path: Path, kind: str) -> None:
    frames = video(12)
    source = as_folder(frames, tmp_path / "in") if kind == "folder" else as_video(frames, tmp_path / "in.avi")
    one = extract(source, tmp_path / "one", config(), progress=False)
    two = extract(source, tmp_path / "two", config(), progress=False)
    assert one == two
    assert (one.frames, one.skipped) == (12, 0)
    images = read(tmp_path / "one")
    assert len(images) == one.tracks >= 1
    assert {image.shape for image in images} == {(32, 64, 3)}
    assert bits(tmp_path / "one") == bits(tmp_path / "two")
    assert all(name.startswith("in-0000") for name in bits(tmp_path / "one"))


def test_a_video_file_gives_the_same_motion(tmp_path: Path) -> None:
    tracks, _ = found(Frames(as_video(video(12), tmp_path / "a.avi"), 448))
    assert tracks
    for track in tracks:
        moved = [track.last.x - track.first.x, track.last.y - track.first.y]
        assert moved == pytest.approx([7 * STEP[0], 7 * STEP[1]], abs=1)


def test_a_folder_takes_several_videos_but_each_once(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for name in ("a", "b"):
        extract(as_folder(video(10), tmp_path / name), out, config(), progress=False)
    before = bits(out)
    assert {name.split("-")[0] for name in before} == {"a", "b"}
    with pytest.raises(OnlygoodError, match="holds tracks of a already; remove them"):
        extract(tmp_path / "a", out, config(), progress=False)
    assert bits(out) == before


# --- errors


def failure(source: Path, out: Path, **options: Any) -> str:
    with pytest.raises(OnlygoodError) as caught:
        extract(source, out, config(**options), progress=False)
    assert not out.exists() or out == source or not any(out.iterdir())
    return str(caught.value)


def text_file(path: Path) -> Path:
    path.write_text("this is no video")
    return path


SOURCES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "absent": (lambda at: at / "absent.mp4", "absent.mp4: no such file or folder"),
    "text": (
        lambda at: text_file(at / "text.mp4"),
        "text.mp4: not a video that OpenCV can decode; convert it",
    ),
    "image": (lambda at: as_folder(video(1), at / "x") / "frame0.png", "one image is no video"),
    "empty": (lambda at: as_folder([], at / "x"), "no images in this folder; give a video file, or a folder"),
    "single": (lambda at: as_folder(video(1), at / "x"), "takes two frames at least, and 1 could be read"),
    "short": (lambda at: as_folder(video(5), at / "x"), "5 frames are fewer than the 8 .* shorter length"),
    "static": (lambda at: as_folder(video(1) * 12, at / "x"), "no moving patches .* 3 have fewer .* widen"),
    "camera": (
        lambda at: as_video(video(12, (0, 0), (3, 1)), at / "x.avi"),
        "no moving patches .* take a video in which things move before a background",
    ),
    "black": (
        lambda at: as_folder([np.zeros((64, 64, 3), np.uint8)] * 12, at / "x"),
        "no moving patches found: the frames show too little",
    ),
    "gone": (
        lambda at: as_folder(video(14, (0, 5)), at / "x"),
        "moving patches none could be followed for 13 frames .* left the frame",
    ),
}


@pytest.mark.parametrize("name", SOURCES)
def test_errors_say_what_to_do(name: str, tmp_path: Path) -> None:
    make, message = SOURCES[name]
    length = 13 if name == "gone" else OPTIONS["length"]
    assert re.search(message, failure(make(tmp_path), tmp_path / "out", length=length))


def test_unreadable_frames_are_named_where_too_few_are_left(tmp_path: Path) -> None:
    folder = as_folder(video(2), tmp_path / "in")
    (folder / "frame1.png").write_bytes(b"")
    assert "1 could be read; " in (text := failure(folder, tmp_path / "out"))
    assert "frame1.png: file is empty" in text


def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    """OpenCV 5 dies of such a name."""
    source = text_file(Path(str(tmp_path / "film") + "\udce9.avi"))
    assert "not UTF-8; rename it" in failure(source, tmp_path / "out")


def test_tracks_do_not_go_among_the_frames(tmp_path: Path) -> None:
    folder = as_folder(video(10), tmp_path / "in")
    assert "name another folder" in failure(folder, folder)


def test_the_config_says_what_is_wrong() -> None:
    with pytest.raises(OnlygoodError, match="'lenght'; did you mean 'length'"):
        TracksConfig.parse({"lenght": 3}, "--set")
    with pytest.raises(OnlygoodError, match="moving: two shares from 0 to 1, the smaller first"):
        TracksConfig.parse({"moving": (0.8, 0.2)}, "--set")


def test_the_summary_counts() -> None:
    assert Summary(1, 2, (("a", "b"), ("c", "d")), {}).skipped == 2


def test_frames_of_twelve_bits_are_not_black(tmp_path: Path) -> None:
    for number in range(3):
        Image.fromarray(ramp(4095, 80, 64).copy()).save(tmp_path / f"{number}.png")
    for frame in Frames(tmp_path, 64):
        assert (frame.min(), frame.max()) == (0, 255)
