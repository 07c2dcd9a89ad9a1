"""Tiles of images of which only a part counts: what is judged, and that nothing outside decides."""

import json
from collections.abc import Callable
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
from onlygood.anomaly.data.attention import Attention
from onlygood.runtime.images.area import Area
from onlygood.runtime.images.reader import ReadOptions
from onlygood.runtime.rows.stream import Look
from onlygood.runtime.rows.tiles import Tiling, limits_of, score_tiled, spread, starts
from onlygood.runtime.rows.verdicts import Row, Status

Call = Callable[..., Result]
PEAKS = {"scores": [i / 20 for i in range(19)], "max_false_alarms": 0.1}
WIDTH, HEIGHT = 40, 24


def marked(*boxes: tuple[int, int, int, int], width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.bool_]:
    """Boxes (left, upper, right, lower) that count."""
    counts = np.zeros((height, width), bool)
    for left, upper, right, lower in boxes:
        counts[upper:lower, left:right] = True
    return counts


def noise(seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 200, (HEIGHT, WIDTH), np.uint8)


def scored(
    model: Path, path: Path, counts: NDArray[np.bool_], overlap: float = 0, tile: int = 8
) -> tuple[Row, Look | None]:
    """The row by tiles, 8 px being the model's own size, and what was said of it beside."""
    detector, looks = Detector.load(model), []

    def look(seen: Look) -> dict[str, Any]:
        looks.append(seen)
        return {}

    (row,) = score_tiled(
        detector,
        [path],
        lambda tiles: limits_of(detector, tiles, None, None),
        tiling=Tiling.of(tile, overlap, detector.metadata.input),
        spec=detector.metadata.input,
        options=ReadOptions(),
        workers=2,
        also=[look],
        area=Area.of(counts),
    )
    return row, looks[0] if looks else None


@given(st.integers(1, 99), st.integers(1, 40), st.data())
def test_tiles_cover_the_part_and_lie_in_the_image(length: int, tile: int, data: st.DataObject) -> None:
    low = data.draw(st.integers(0, length - 1))
    high = data.draw(st.integers(low + 1, length))
    found = spread(low, high, length, tile, 0.25)
    assert 0 <= found[0] <= low
    assert high <= found[-1] + tile
    assert found[-1] + min(tile, length) <= length
    assert spread(0, length, length, tile, 0.25) == starts(length, tile, 0.25)


def test_what_counts_is_scored_as_its_crops_are(tiny: Path, tmp_path: Path) -> None:
    """A part of whole tiles: the score is that of the worst crop, of T = 6 tiles and no more."""
    pixels = noise()
    pixels[:, 30:] = 255  # outside
    Image.fromarray(pixels).save(tmp_path / "a.png")
    detector = Detector.load(tiny)
    crops = [detector.score(pixels[y : y + 8, x : x + 8]).score for y in (3, 11) for x in (5, 13, 21)]
    row, _ = scored(tiny, tmp_path / "a.png", marked((5, 3, 29, 19)))
    assert row.score == max(crops)
    assert row.extras["tiles"]["count"] == 6
    assert row.p_value == pytest.approx(min(1, 6 * detector.p_value(max(crops))))
    x, y, *_ = row.extras["tiles"]["worst"]
    assert crops[(y - 3) // 8 * 3 + (x - 5) // 8] == max(crops)
    assert not any(note.startswith("area") for note in row.notes)


@pytest.mark.parametrize("tile", [8, 13])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_nothing_outside_changes_a_score_or_the_heat(
    tiny: Path, tmp_path: Path, suffix: str, tile: int
) -> None:
    counts = marked((3, 2, 17, 20), (17, 6, 33, 15))
    rows, heats = [], []
    for outside in (0, 255):
        pixels = np.where(counts, noise(), np.uint8(outside))
        Image.fromarray(pixels).save(tmp_path / f"a.{suffix}")
        row, look = scored(tiny, tmp_path / f"a.{suffix}", counts, 0.5, tile)
        assert look is not None
        rows.append((row.status, row.score, row.p_value, row.extras))
        heats.append(look.placed.heatmap)
    assert rows[0] == rows[1]
    assert (heats[0] == heats[1]).all()


def test_a_tile_at_the_border_is_blank_outside(tiny: Path, tmp_path: Path) -> None:
    """Half of it counts, with a mean of 100: 255 beside it makes it no brighter."""
    pixels = np.full((HEIGHT, WIDTH), 255, np.uint8)
    counts = marked((0, 0, 4, 8))
    pixels[counts] = 100
    Image.fromarray(pixels).save(tmp_path / "a.png")
    row, _ = scored(tiny, tmp_path / "a.png", counts)
    assert (row.score, row.extras["tiles"]["count"]) == (pytest.approx(100 / 255), 1)


def test_what_no_tile_looks_at_is_said(tiny: Path, tmp_path: Path) -> None:
    """A tile for the large part; the speck in the other corner is less than half of any."""
    Image.fromarray(noise()).save(tmp_path / "a.png")
    row, _ = scored(tiny, tmp_path / "a.png", marked((0, 0, 8, 8), (37, 21, 40, 24)))
    assert row.extras["tiles"]["count"] == 1
    (note,) = row.notes
    assert note == "area: 12 % of what counts lies in no tile and was not looked at"  # 9 of 73 pixels
    row, _ = scored(tiny, tmp_path / "a.png", marked((0, 0, 3, 3), (37, 21, 40, 24)))
    assert row.status is Status.ERROR
    assert "no tile lies by half or more in what counts" in row.error


@pytest.mark.parametrize("orientation", [1, 2, 3, 4, 5, 6, 7, 8])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_masks_lie_on_the_upright_image(tiny: Path, tmp_path: Path, orientation: int, suffix: str) -> None:
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the transposition that `orientation` undoes
    upright = Image.fromarray(noise())
    kept = upright if orientation == 1 else upright.transpose(Image.Transpose(back[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    kept.save(tmp_path / f"a.{suffix}", exif=exif)
    upright.save(tmp_path / "upright.png")
    counts = marked((2, 1, 19, 17), (19, 9, 30, 17))
    (one, turned), (other, straight) = (
        scored(tiny, tmp_path / name, counts, 0.5) for name in (f"a.{suffix}", "upright.png")
    )
    assert (one.score, one.extras["tiles"]["count"]) == (other.score, other.extras["tiles"]["count"])
    assert one.notes == other.notes
    assert turned is not None
    assert straight is not None
    assert turned.placed.heatmap == pytest.approx(straight.placed.heatmap, abs=1e-5)
    assert (turned.inside == straight.inside).all()


def test_a_smaller_drawing_is_scaled(tiny: Path, tmp_path: Path) -> None:
    Image.fromarray(noise()).save(tmp_path / "a.png")
    large, _ = scored(tiny, tmp_path / "a.png", marked((8, 4, 32, 20)))
    small, _ = scored(tiny, tmp_path / "a.png", marked((2, 1, 8, 5), width=10, height=6))
    assert (small.score, small.extras) == (large.score, large.extras)
    row, _ = scored(tiny, tmp_path / "a.png", marked((2, 1, 8, 5), width=10, height=9))
    assert row.status is Status.ERROR
    assert "40 x 24 px, and --roi or --ignore was drawn on 10 x 9" in row.error


def test_drawings_of_unlike_sizes_are_joined(tmp_path: Path) -> None:
    Image.fromarray(marked((8, 4, 32, 20)).astype(np.uint8) * 255).save(tmp_path / "roi.png")
    polygon = {"width": 10, "height": 6, "polygons": [[[2, 1], [4, 1], [4, 4], [2, 4]]]}
    (tmp_path / "ignore.json").write_text(json.dumps(polygon))
    area = Attention(tmp_path / "roi.png", tmp_path / "ignore.json").area()
    assert area is not None
    wanted = marked((8, 4, 32, 20)) & ~marked((8, 4, 20, 20))
    assert ((np.asarray(area.drawn) > 0) == wanted).all()


def test_a_huge_drawing_is_kept_small(tmp_path: Path) -> None:
    half = {"width": 20_000, "height": 10_000, "polygons": [[[0, 0], [9_999, 0], [9_999, 9_999], [0, 9_999]]]}
    (tmp_path / "roi.json").write_text(json.dumps(half))
    area = Attention(tmp_path / "roi.json").area()
    assert area is not None
    assert area.drawn.size == (8192, 4096)
    assert area.bounds(20_000, 10_000) == pytest.approx((0, 0, 10_000, 10_000), abs=3)


def test_masks_and_tiles_on_the_command_line(
    call: Call, make_tiny: Any, metadata_with: Any, tmp_path: Path
) -> None:
    """Two spots, of which one counts: in the regions, the maps and the rows, which --resume tells apart."""
    model = make_tiny(metadata=metadata_with(peaks=PEAKS))
    pixels = np.full((HEIGHT, WIDTH), 20, np.uint8)
    pixels[8:16, 8:16] = pixels[8:16, 24:32] = 250
    Image.fromarray(pixels).save(tmp_path / "a.png")
    Image.fromarray(marked((24, 8, 32, 16)).astype(np.uint8)).save(tmp_path / "mask.png")
    out = tmp_path / "rows.jsonl"
    common = ["-o", out, "--resume", "--tile", "8", "--overlap", "0", "--boxes", "--heatmaps", tmp_path / "h"]
    for option in ("--roi", "--ignore", "--roi"):
        result = call("score", model, tmp_path / "a.png", *common, option, tmp_path / "mask.png")
        assert result.exit_code == 0, result.stderr
    looked, away = map(json.loads, out.read_text().splitlines())
    assert (looked["tiles"]["count"], away["tiles"]["count"]) == (1, 14)
    assert [region["box"] for region in looked["regions"]] == [[24, 8, 32, 16]]
    assert [region["box"] for region in away["regions"]] == [[8, 8, 16, 16]]
    assert looked["tiling"] != away["tiling"]
    heat: NDArray[np.float32] = np.load(away["heatmap"])
    hidden = Image.fromarray(np.isnan(heat)).resize((WIDTH, HEIGHT), Image.Resampling.NEAREST)
    assert (np.asarray(hidden) == marked((24, 8, 32, 16))).all()


def test_masks_without_tiles_are_refused(call: Call, tiny: Path, gray: Any) -> None:
    result = call("score", tiny, gray("a.png", 1), "--roi", gray("mask.png", 255))
    assert result.exit_code == 2
    assert "--roi and --ignore of score are for --tile" in result.stderr
