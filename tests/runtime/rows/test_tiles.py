"""Large images tile by tile: the worst tile is the image, no seams, one row of tiles in memory."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from typer.testing import Result

from onlygood import Detector
from onlygood.runtime.images.reader import ReadOptions
from onlygood.runtime.images.windows import Large
from onlygood.runtime.rows import tiles
from onlygood.runtime.rows.mosaic import MOST_CELLS, Mosaic
from onlygood.runtime.rows.stream import Look
from onlygood.runtime.rows.tiles import Limits, Tiling, limits_of, score_tiled, starts
from onlygood.runtime.rows.verdicts import Row, Status

Call = Callable[..., Result]
PEAKS = {"scores": [i / 20 for i in range(19)], "max_false_alarms": 0.1}


@given(st.integers(1, 300), st.integers(1, 60), st.floats(0, 0.9))
def test_tiles_cover_the_side_and_overlap(length: int, tile: int, overlap: float) -> None:
    found = starts(length, tile, overlap)
    assert found[0] == 0
    assert found[-1] == max(0, length - tile)
    steps = np.diff(found)
    assert (steps <= max(1, round(tile * (1 - overlap)))).all()
    assert (steps > 0).all()


def test_starts_by_hand() -> None:
    assert starts(100, 40, 0.5) == [0, 20, 40, 60]
    assert starts(100, 40, 0) == [0, 30, 60]
    assert starts(30, 40, 0.5) == [0]


# --- the joint heatmap


@given(st.integers(20, 90), st.integers(20, 90), st.floats(0, 0.8), st.integers(1, 9))
def test_equal_tiles_leave_no_seam(width: int, height: int, overlap: float, cells: int) -> None:
    mosaic = Mosaic(width, height, (20 / 8, 20 / 8))
    for y in starts(height, 20, overlap):
        for x in starts(width, 20, overlap):
            box = (x, y, x + 20, y + 20)
            mosaic.add(np.full((cells, cells), 3.5, np.float32), box, box)
    assert mosaic.heatmap() == pytest.approx(np.full((mosaic.rows, mosaic.columns), 3.5))


def test_between_two_tiles_the_one_whose_middle_is_nearer_counts_more() -> None:
    mosaic = Mosaic(30, 10, (1, 1))
    for x, value in ((0, 0.0), (10, 1.0)):
        mosaic.add(np.full((1, 1), value, np.float32), (x, 0, x + 20, 10), (x, 0, x + 20, 10))
    row = mosaic.heatmap()[5]
    assert (row[:10] == 0).all()
    assert (row[20:] == 1).all()
    assert (np.diff(row[10:20]) > 0).all()
    assert row[14] + row[15] == pytest.approx(1)


def test_what_no_tile_sees_stands_out_nowhere() -> None:
    mosaic = Mosaic(20, 10, (1, 1))
    mosaic.add(np.array([[2.0, 5.0]], np.float32), (0, 0, 10, 10), (0, 0, 10, 10))
    heatmap = mosaic.heatmap()
    assert (heatmap[:, 10:] == heatmap.min()).all()
    assert heatmap.min() == 2


def test_a_huge_image_has_larger_cells() -> None:
    mosaic = Mosaic(400_000, 100_000, (2, 1))
    assert mosaic.rows * mosaic.columns == pytest.approx(MOST_CELLS, rel=0.01)
    assert mosaic.cell[0] == pytest.approx(2 * mosaic.cell[1], rel=0.01)


# --- limits


def test_the_promise_is_shared_out_among_tiles(make_tiny: Any, metadata_with: Any) -> None:
    """19 calibration scores 0, .05 … .9 at 10 %: the second largest for one tile, the largest for two."""
    detector = Detector.load(make_tiny(metadata=metadata_with(peaks=PEAKS)))
    assert limits_of(detector, 1, None, None) == Limits(0.85, 0.85, 0.1)
    assert limits_of(detector, 2, None, None) == Limits(0.9, 0.9, 0.1)
    four = limits_of(detector, 4, None, None)
    assert (four.threshold, four.false_alarms) == (0.9, 0.2)
    assert "is flagged with a chance of up to 0.2, not 0.1: that needs 39 calibration images" in four.note
    assert limits_of(detector, 100, None, None).false_alarms == 1
    assert limits_of(detector, 4, None, 0.3) == Limits(0.3, 0.9, None)


def test_good_images_are_flagged_as_seldom_as_promised() -> None:
    """Scores of tiles are uniform; 99 calibration scores at 20 % for four tiles, over fresh draws of both."""
    rng, flagged = np.random.default_rng(0), 0
    for _ in range(2000):
        held_out = np.sort(rng.random(99))
        limit = held_out[-5]  # k = 5 of 100: 20 % / 4
        flagged += rng.random(4).max() > limit
    assert 0.15 < flagged / 2000 < 0.2


# --- images


def dotted(width: int = 32, height: int = 16, at: tuple[int, int] = (16, 8)) -> Image.Image:
    """Black, with a square of 8 px of gray 230 at ``at``."""
    image = Image.new("L", (width, height))
    image.paste(230, (*at, at[0] + 8, at[1] + 8))
    return image


def scored(model: Path, path: Path, overlap: float = 0, looks: list[Look] | None = None, **how: Any) -> Row:
    detector = Detector.load(model)
    spec = detector.metadata.input

    def look(seen: Look) -> dict[str, Any]:
        if looks is not None:
            looks.append(seen)
        return {}

    (row,) = score_tiled(
        detector,
        [path],
        lambda count: limits_of(detector, count, None, None),
        tiling=Tiling.of(None, overlap, spec),
        spec=spec,
        options=ReadOptions(),
        workers=2,
        also=[look],
        **how,
    )
    return row


def test_an_image_is_its_worst_tile(tiny: Path, tmp_path: Path) -> None:
    dotted().save(tmp_path / "a.png")
    row = scored(tiny, tmp_path / "a.png")
    assert row.score == pytest.approx(230 / 255)
    assert (row.status, row.threshold) == (Status.ANOMALOUS, 0.9)
    assert row.p_value == pytest.approx(8 / 20)  # eight tiles, none of 19 good ones higher
    assert (row.width, row.height) == (32, 16)
    assert row.extras["tiles"]["worst"] == [16, 8, 24, 16]
    assert (row.extras["tiles"]["count"], row.extras["tiles"]["anomalous"]) == (8, 1)


def test_tiles_are_scored_as_crops_are(tiny: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (21, 29), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    detector = Detector.load(tiny)
    crops = [
        detector.score(np.ascontiguousarray(pixels[y : y + 8, x : x + 8])).score
        for y in starts(21, 8, 0.5)
        for x in starts(29, 8, 0.5)
    ]
    row = scored(tiny, tmp_path / "a.png", 0.5)
    assert row.score == max(crops)
    assert row.extras["tiles"]["count"] == len(crops)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_orientation_changes_nothing(tiny: Path, tmp_path: Path, orientation: int, suffix: str) -> None:
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the transposition that `orientation` undoes
    image = dotted(29, 21, (18, 3))
    kept = image if orientation == 1 else image.transpose(Image.Transpose(back[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{suffix}"
    kept.save(path, exif=exif)
    image.save(tmp_path / "upright.png")
    looks: list[Look] = []
    one, other = (scored(tiny, place, 0.5, looks, preview=64) for place in (path, tmp_path / "upright.png"))
    assert (one.score, one.p_value, one.width, one.height) == (other.score, other.p_value, 29, 21)
    turned, upright = looks
    assert turned.placed.heatmap == pytest.approx(upright.placed.heatmap, abs=1e-5)
    assert turned.placed.box == upright.placed.box
    assert (turned.preview == upright.preview).all()


def test_a_small_image_is_one_tile(tiny: Path, gray: Any) -> None:
    row = scored(tiny, gray("a.png", 51), 0.25)
    assert row.score == pytest.approx(0.2)
    assert row.extras["tiles"]["count"] == 1
    assert row.threshold == 0.85


def test_a_tile_that_cannot_be_judged_leaves_no_good_image(
    make_tiny: Any, metadata_with: Any, tmp_path: Path
) -> None:
    usual = {"brightness": (0, 255), "contrast": (20, 120), "clipped": (0, 1), "sharpness": (0, 1)}
    model = make_tiny(metadata=metadata_with(frames=usual))
    pixels = np.tile(np.array([[0, 90]], np.uint8), (16, 16))
    pixels[8:, 24:] = 45  # blank
    Image.fromarray(pixels).save(tmp_path / "a.png")
    row = scored(model, tmp_path / "a.png")
    assert row.status is Status.UNUSABLE
    assert row.error.startswith("1 of 8 tiles, such as that at 24, 8: nearly constant")
    assert scored(model, tmp_path / "a.png", any_frame=True).status is Status.NORMAL
    pixels[:8, :8] = np.array([230, 255] * 4)  # and one that is anomalous
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert scored(model, tmp_path / "a.png").status is Status.ANOMALOUS


def test_only_a_row_of_tiles_is_asked_for_at_once(
    tiny: Path, gray: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []

    def rows(start: int, stop: int) -> Image.Image:
        asked.append((start, stop))
        return Image.new("L", (16, stop - start), 100)

    @contextmanager
    def open_fake(*_: Any) -> Iterator[Large]:
        yield Large(16, 4000, None, (), rows)

    monkeypatch.setattr(tiles, "open_large", open_fake)
    row = scored(tiny, gray("a.png", 1), 0)
    assert row.extras["tiles"]["count"] == 1000
    assert asked == [(y, y + 8) for y in range(0, 4000, 8)]


# --- as it is typed


def test_tiles_on_the_command_line(call: Call, make_tiny: Any, metadata_with: Any, tmp_path: Path) -> None:
    model = make_tiny(metadata=metadata_with(peaks=PEAKS))
    dotted(64, 32, (32, 16)).save(tmp_path / "a.tif")
    options = ["--tile", "16", "--overlap", "0", "--boxes", "--heatmaps", tmp_path / "out"]
    result = call("score", model, tmp_path / "a.tif", *options)
    row = json.loads(result.stdout)
    assert row["score"] == pytest.approx(230 / 255 / 4, abs=0.01)  # 8 px of 16
    assert (row["tiles"]["count"], row["tiles"]["size"]) == (8, [16, 16])
    assert row["heatmap_box"] == [0, 0, 64, 32]
    assert "is flagged with a chance of up to 0.4, not 0.1" in result.stderr
    heat: NDArray[np.float32] = np.load(row["heatmap"])
    assert heat.shape == (16, 32)  # eight cells a tile
    hottest = np.argwhere(heat > heat.max() / 2) * 2
    assert (hottest.min(axis=0) >= (14, 30)).all()
    assert (hottest.max(axis=0) <= (24, 40)).all()
    assert Path(row["overlay"]).is_file()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--tile", "0"], "8 at least"),
        (["--tile", "a"], "8 at least"),
        (["--tile", "9" * 30], "8 at least"),
        (["--tile", "8", "--overlap", "1"], "overlap"),
        (["--tile", "8", "--overlap", "-1"], "from 0 to 0.9"),
    ],
)
def test_what_cannot_be_cut_is_refused(
    call: Call, tiny: Path, gray: Any, options: list[str], words: str
) -> None:
    result = call("score", tiny, gray("a.png", 1), *options)
    assert result.exit_code == 2
    assert words in result.stderr


def test_a_part_of_the_image_and_tiles_do_not_go_together(
    call: Call, make_tiny: Any, metadata_with: Any, gray: Any
) -> None:
    model = make_tiny(metadata=metadata_with(area=[32, 32]))
    result = call("score", model, gray("a.png", 1), "--tile", "8")
    assert result.exit_code == 2
    assert "looks at a part" in result.stderr
