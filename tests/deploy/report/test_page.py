"""What is in the file that `report` writes."""

import base64
import hashlib
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from typer.testing import Result

from onlygood.deploy.report import document, pictures
from onlygood.runtime.model.metadata import Metadata

ROOT = Path(__file__).parents[3]
Call = Callable[..., Result]
Gray = Callable[[str, int], Path]
DataOf = Callable[[Path], dict[str, Any]]
RowsOf = Callable[[Path], dict[str, dict[str, Any]]]


# --- data


def test_each_image_has_its_row(report: Path, rows_of: RowsOf) -> None:
    rows = rows_of(report)
    assert len(rows) == 10
    scores = {name: row["score"] and round(255 * row["score"]) for name, row in rows.items()}
    assert scores["good/a.png"] == 51
    assert scores["scratch/f.png"] == 204
    assert scores["scratch/h.png"] is None
    statuses = {name: row["status"] for name, row in rows.items()}
    assert [name for name, status in statuses.items() if status == "anomalous"] == [
        "dent/<img src=x onerror=window.hacked=1>.png",
        "dent/e.png",
        "good/d.png",
        "scratch/g.png",
    ]
    assert statuses["scratch/h.png"] == "error"
    assert rows["scratch/h.png"]["error"].startswith("text, no picture")
    assert {name: row["kind"] for name, row in rows.items() if row["label"]} == {
        "dent/<img src=x onerror=window.hacked=1>.png": "dent",
        "dent/e.png": "dent",
        "scratch/f.png": "scratch",
        "scratch/g.png": "scratch",
        "scratch/h.png": "scratch",
    }
    copies = {name for name, row in rows.items() if row["copies"] is not None}
    assert copies == {"good/b.png", "good/b again.png"}


def test_a_flat_folder_has_no_labels(
    *, call: Call, tiny: Path, parts: Path, tmp_path: Path, data_of: DataOf
) -> None:
    """That all images in it are good is what a training takes it for; here it would be invented."""
    call("report", tiny, parts, "-o", tmp_path / "r.html", "-q")
    data = data_of(tmp_path / "r.html")
    assert set(data["images"]["label"]) == {None}
    assert data["measures"] is None


@pytest.mark.parametrize("list_name", ["list.csv", "list.txt"])
def test_lists_are_read_and_only_tables_have_labels(
    *, call: Call, tiny: Path, gray: Gray, tmp_path: Path, rows_of: RowsOf, list_name: str
) -> None:
    gray("a.png", 51)
    gray("b.png", 230)
    text = {"list.csv": "path,label\na.png,good\nb.png,bad\n", "list.txt": "a.png\nb.png\n"}[list_name]
    (tmp_path / list_name).write_text(text)
    call("report", tiny, tmp_path / list_name, "-o", tmp_path / "r.html", "-q")
    labels = [row["label"] for row in rows_of(tmp_path / "r.html").values()]
    assert labels == ([0, 1] if list_name == "list.csv" else [None, None])


def test_a_model_that_lists_no_images_says_so(report: Path, data_of: DataOf) -> None:
    assert not data_of(report)["knows_seen"]


@pytest.mark.parametrize(
    ("provenance", "file", "heading"),
    [
        ({"product": "bolts"}, "line 3.onnx", "bolts"),
        ({"product": 7}, "line 3.onnx", "line 3"),
        ({}, "line 3.onnx", "line 3"),
        ({}, "model.onnx", "tiny"),
    ],
)
def test_report_and_page_are_headed_by_what_the_model_is_for(
    *,
    call: Call,
    make_tiny: Callable[..., Path],
    metadata_with: Callable[..., Metadata],
    parts: Path,
    tmp_path: Path,
    data_of: DataOf,
    provenance: dict[str, Any],
    file: str,
    heading: str,
) -> None:
    model = make_tiny(metadata=metadata_with(provenance=provenance)).rename(tmp_path / file)
    call("report", model, parts, "-o", tmp_path / "r.html", "-q")
    data = data_of(tmp_path / "r.html")
    assert data["model"]["product"] == heading
    assert f"<title>{heading}: report" in (tmp_path / "r.html").read_text("utf-8")
    assert data["model"]["what"] == (
        "Recipe tiny, calibrated on 19 good images: flags at most 10 % of new good images."
    )
    assert call("page", model, "-o", tmp_path / "page", "-q").exit_code == 0
    assert json.loads((tmp_path / "page/model.json").read_text("utf-8"))["title"] == heading


def test_rates_move_the_threshold(
    *, call: Call, tiny: Path, parts: Path, tmp_path: Path, data_of: DataOf
) -> None:
    call("report", tiny, parts, "-o", tmp_path / "r.html", "-q", "--max-false-alarms", 0.05)
    data = data_of(tmp_path / "r.html")
    assert (data["rate"], data["threshold"]) == (0.05, 0.9)
    assert data["model"]["promise"][0].startswith(
        "At most 5 % of new good images are flagged: 19 good images"
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["{empty}"], "no images found"),
        (["{set}", "-o", "{set}/good/a.png"], "is read, and -o would overwrite it"),
        (["{set}", "-o", "{set}/no/r.html"], "there is no folder"),
        (["{set}", "--max-false-alarms", "0.01"], "the smallest rate that these allow is 0.05"),
        (["{set}/list.csv"], "none of its 1 files exists"),
    ],
)
def test_bad_input_is_told_before_any_work(
    *, call: Call, tiny: Path, labeled: Path, tmp_path: Path, arguments: list[str], told: str
) -> None:
    (tmp_path / "empty").mkdir()
    if "{set}/list.csv" in arguments:
        (labeled / "list.csv").write_text("path,label\nx.png,0\n")
    names = {"set": labeled, "empty": tmp_path / "empty"}
    result = call("report", tiny, *(text.format(**names) for text in arguments))
    assert result.exit_code == 2
    assert told in result.stderr
    assert "Traceback" not in result.stderr


def test_a_missing_file_and_an_empty_folder_beside_images(
    call: Call, tiny: Path, gray: Gray, tmp_path: Path, rows_of: RowsOf
) -> None:
    (tmp_path / "empty").mkdir()
    page, image = tmp_path / "r.html", gray("x/a.png", 51)
    result = call("report", tiny, image, tmp_path / "x/none.png", tmp_path / "empty", "-o", page)
    assert result.exit_code == 2
    assert "no images in this folder" in result.stderr
    assert f"{tmp_path}/x/none.png: no such file or directory" in result.stderr
    assert {name: row["status"] for name, row in rows_of(page).items()} == {
        "x/a.png": "normal",
        "x/none.png": "error",
    }
    assert call("report", tiny, image, "-o", page).exit_code == 0
    assert "x: 1 image, without labels\n" in call("report", tiny, tmp_path / "x", "-o", page).stderr


# --- pictures


def decoded(url: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))


def test_pictures_show_the_image_and_where_it_is_hot(report: Path, data_of: DataOf, rows_of: RowsOf) -> None:
    data, rows = data_of(report), rows_of(report)
    assert len(data["pictures"]) == 9  # all but the unreadable one
    thumbnail, heat = data["pictures"][str(rows["dent/e.png"]["index"])]
    assert decoded(thumbnail).size == (8, 8)
    assert np.asarray(decoded(thumbnail)).mean() == pytest.approx(240, abs=4)
    calm = data["pictures"][str(rows["good/a.png"]["index"])][1]
    assert np.asarray(decoded(calm)).max() == 0
    assert np.asarray(decoded(heat)).shape == (2, 2)
    hot = np.asarray(decoded(heat))  # color begins at the median, .45, and is full as far beyond .85
    assert hot == pytest.approx(255 * (240 / 255 - 0.45) / 0.8, abs=1)


def test_the_heatmap_lies_on_the_part_that_the_model_sees(
    *,
    call: Call,
    make_tiny: Callable[..., Path],
    metadata_with: Callable[..., Metadata],
    tmp_path: Path,
    data_of: DataOf,
) -> None:
    Image.fromarray(np.full((10, 20), 100, np.uint8)).save(tmp_path / "wide.png")
    boxes = {}
    for way in ("stretch", "crop", "pad"):
        spec = {"height": 8, "width": 8, "channels": 1, "resize": way}
        model = make_tiny(metadata=metadata_with(input=spec))
        call("report", model, tmp_path / "wide.png", "-o", tmp_path / "r.html", "-q")
        boxes[way] = data_of(tmp_path / "r.html")["pictures"]["0"][2:]
    assert boxes == {"stretch": [], "crop": [[0.25, 0, 0.75, 1]], "pad": [[0, -0.5, 1, 1.5]]}


def test_with_little_room_those_that_matter_are_shown(
    *,
    call: Call,
    tiny: Path,
    labeled: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    data_of: DataOf,
    rows_of: RowsOf,
) -> None:
    page = tmp_path / "r.html"
    call("report", tiny, labeled, "-o", page, "-q", "-j", 1)
    data, rows = data_of(page), rows_of(page)
    without = {key: value for key, value in data.items() if key != "pictures"}
    one = max(sum(map(len, picture[:2])) for picture in data["pictures"].values())
    room = 13 * one // 2  # times differ by some bytes
    monkeypatch.setattr(document, "LIMIT", document._RESERVE + len(document.page(without, {})) + room)
    told = call("report", tiny, labeled, "-o", page, "-j", 1).stderr
    shown = {name for name, row in rows.items() if str(row["index"]) in data_of(page)["pictures"]}
    flagged = {name for name, row in rows.items() if row["status"] == "anomalous"}
    assert flagged | {"scratch/f.png"} <= shown  # the missed one, too
    assert "good/a.png" not in shown
    assert f"{9 - len(shown)} images of low scores are listed without a picture" in told
    assert page.stat().st_size <= document.LIMIT


def test_pictures_become_smaller_where_there_are_many() -> None:
    def draw(side: int, _: int) -> pictures.Picture:
        return pictures.Picture("x" * side, "", (0, 0, 1, 1))

    sides = [pictures._side(range(100), budget, draw) for budget in (100_000, 30_000, 15_000, 10)]
    assert sides == [640, 256, 128, 128]  # with a tenth to spare


# --- safety


@given(st.text())
def test_no_text_ends_its_block(text: str) -> None:
    written = document._json([text])
    assert not set("<>&\u2028\u2029") & set(written)
    assert json.loads(written) == [text]


def test_a_hostile_name_is_only_text(report: Path) -> None:
    page = report.read_text("utf-8")
    assert "<img src=x" not in page
    assert "\\u003cimg src=x onerror" in page


def test_the_policy_lets_only_this_program_run(report: Path) -> None:
    page = report.read_text("utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    (program,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    for text, kind in ((program, "script"), (style, "style")):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy[1]
    assert "default-src 'none'" in policy[1]
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", page)


def test_a_model_whose_name_is_markup(
    call: Call,
    make_tiny: Callable[..., Path],
    metadata_with: Callable[..., Metadata],
    parts: Path,
    tmp_path: Path,
) -> None:
    hostile = "</title><script>x</script>{{data}}"
    model = make_tiny(metadata=metadata_with(name=hostile, provenance={"product": hostile}))
    call("report", model, parts, "-o", tmp_path / "r.html", "-q")
    page = (tmp_path / "r.html").read_text("utf-8")
    assert "<title>&lt;/title&gt;&lt;script&gt;x&lt;/script&gt;{{data}}: report" in page
    assert page.count("<script>") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes")
def test_names_keep_their_bytes(call: Call, tiny: Path, gray: Gray, tmp_path: Path, data_of: DataOf) -> None:
    name = b'caf\xe9,"#?%.png'
    gray("odd/x.png", 51).rename(tmp_path / "odd" / os.fsdecode(name))
    call("report", tiny, tmp_path / "odd", "-o", tmp_path / "r.html", "-q")
    data = data_of(tmp_path / "r.html")
    (folder,) = data["folders"]
    assert unquote_to_bytes(data["images"]["raw"]["0"]) == name
    assert unquote_to_bytes(folder["path"]) == os.fsencode(tmp_path / "odd") + b"/"
    assert folder["link"] == "./odd/"


def test_the_edge_needs_no_training_libraries(tiny: Path, labeled: Path, tmp_path: Path) -> None:
    line = ["report", str(tiny), str(labeled), "-o", str(tmp_path / "r.html"), "-q"]
    program = (
        "import sys\n"
        "for name in ('torch', 'scipy', 'sklearn', 'matplotlib', 'yaml', 'cv2', 'onnx'):\n"
        "    sys.modules[name] = None\n"
        "from onlygood.deploy.cli import invoke\n"
        f"sys.exit(invoke({line!r}))\n"
    )
    done = subprocess.run(  # noqa: S603 - ourselves
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr  # the unreadable image
    assert (tmp_path / "r.html").is_file(), done.stderr


def test_the_program_is_built_from_these_sources() -> None:
    """`make page` was run, and its result committed."""
    sources = sorted((ROOT / "web/report").iterdir())
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    first = (ROOT / "onlygood/deploy/report/assets/report.js").read_text("utf-8").partition("\n")[0]
    assert first.endswith(digest)


def test_the_lock_names_versions_and_hashes_only() -> None:
    lock = json.loads((ROOT / "web/package-lock.json").read_text("utf-8"))
    locked = {name: entry for name, entry in lock["packages"].items() if name}
    assert all({"version", "integrity"} <= entry.keys() for entry in locked.values())
    assert not any("resolved" in entry for entry in locked.values())
