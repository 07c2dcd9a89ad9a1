"""The folder that `onlygood page` writes, without a browser."""

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import Result

from onlygood.deploy.page import folder
from onlygood.runtime.images.files import find_images
from onlygood.runtime.model.detector import Detector

Call = Callable[..., Result]
ROOT = Path(__file__).parents[3]
ASSETS = Path(folder.__file__).parent / "assets"


@pytest.fixture
def page(call: Call, tiny: Path, tmp_path: Path) -> Path:
    result = call("page", tiny, "-o", tmp_path / "page")
    assert result.exit_code == 0, result.output
    return tmp_path / "page"


def block(page: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((page / "model.json").read_text("utf-8"))
    return found


def kept(page: Path) -> tuple[str, set[str]]:
    """Version and files of the service worker."""
    text = (page / "offline.js").read_text("utf-8")
    found = re.match(r'const VERSION = "([0-9a-f]{16})";\nconst FILES = (\[.*\]);\n', text)
    assert found is not None
    return found[1], set(json.loads(found[2]))


def test_it_holds_the_model_and_all_that_is_kept(page: Path, tiny: Path) -> None:
    assert (page / "model.onnx").read_bytes() == tiny.read_bytes()
    names = {path.name for path in page.iterdir() if not path.name.startswith(".")}
    assert kept(page)[1] == names - {"offline.js"} | {"./"}
    text = (page / "index.html").read_text("utf-8")
    assert "{{" not in text
    linked = set(re.findall(r'(?:href|src)="([^"]+)"', text))
    assert {"page.css", "page.js", "manifest.webmanifest", "licenses.txt"} <= linked <= names
    for icon in json.loads((page / "manifest.webmanifest").read_text("utf-8"))["icons"]:
        with Image.open(page / icon["src"]) as image:
            assert "x".join(map(str, image.size)) == icon["sizes"]


def test_its_pictures_are_no_data(page: Path) -> None:
    assert list(find_images([page.parent])) == []


def test_the_threshold_is_that_of_the_rate(call: Call, page: Path, tiny: Path, tmp_path: Path) -> None:
    detector = Detector.load(tiny)
    assert block(page)["threshold"] == detector.threshold() == 0.85
    call("page", tiny, "-o", tmp_path / "other", "--max-false-alarms", 0.3)
    other = block(tmp_path / "other")
    assert (other["rate"], other["threshold"]) == (0.3, detector.threshold(0.3))
    assert other["heat"] == list(detector.heat_range(0.3)) != block(page)["heat"]


def test_a_rate_that_the_calibration_does_not_allow_is_refused(
    call: Call, tiny: Path, tmp_path: Path
) -> None:
    result = call("page", tiny, "-o", tmp_path / "page", "--max-false-alarms", 0.01)
    assert result.exit_code == 2
    assert "0.05" in result.output
    assert not (tmp_path / "page").exists()


def test_another_content_is_another_version(call: Call, page: Path, tiny: Path) -> None:
    """Written again, the folder is the same; with a byte changed, a browser that kept it notices."""
    versions = [kept(page)[0]]
    for title in ("tiny", "tinx"):
        assert call("page", tiny, "-o", page, "--title", title).exit_code == 0
        versions.append(kept(page)[0])
    assert versions[0] == versions[1] != versions[2]


def test_a_folder_of_others_is_left_alone(call: Call, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site/index.html").write_text("mine")
    result = call("page", tiny, "-o", tmp_path / "site")
    assert result.exit_code == 2
    assert "give a new folder" in result.output
    assert [path.name for path in (tmp_path / "site").iterdir()] == ["index.html"]
    assert (tmp_path / "site/index.html").read_text() == "mine"


def test_a_model_of_reduced_jpegs_is_refused(
    call: Call, make_tiny: Callable[..., Path], metadata_with: Callable[..., Any], tmp_path: Path
) -> None:
    spec = {"height": 8, "width": 8, "channels": 1, "jpeg": "reduced"}
    result = call("page", make_tiny(metadata=metadata_with(input=spec)), "-o", tmp_path / "page")
    assert result.exit_code == 2
    assert "input.jpeg=full" in result.output
    assert not (tmp_path / "page").exists()


def test_it_is_called_as_people_call_it(call: Call, tiny: Path, tmp_path: Path) -> None:
    assert call("page", tiny, "-o", tmp_path / "page", "--title", "Line 2 & 3").exit_code == 0
    assert block(tmp_path / "page")["title"] == "Line 2 & 3"
    assert json.loads((tmp_path / "page/manifest.webmanifest").read_text("utf-8"))["name"] == "Line 2 & 3"
    assert "<title>Line 2 &amp; 3</title>" in (tmp_path / "page/index.html").read_text("utf-8")


def test_it_needs_no_training_library(tiny: Path, tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "for name in ('torch', 'scipy', 'sklearn', 'matplotlib', 'yaml', 'cv2', 'onnx'):\n"
        "    sys.modules[name] = None\n"
        "from onlygood.deploy.cli import invoke\n"
        f"sys.exit(invoke(['page', {str(tiny)!r}, '-o', {str(tmp_path / 'page')!r}]))\n"
    )
    done = subprocess.run(  # noqa: S603 - ourselves
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_name_is_no_markup(
    call: Call, make_tiny: Callable[..., Path], metadata_with: Callable[..., Any], tmp_path: Path
) -> None:
    model = make_tiny(metadata=metadata_with(provenance={"product": "<img src=x>{{version}}"}))
    assert call("page", model, "-o", tmp_path / "page").exit_code == 0
    text = (tmp_path / "page/index.html").read_text("utf-8")
    assert "<img" not in text
    assert "&lt;img src=x&gt;" in text


def test_all_of_others_that_is_shipped_is_named_with_its_license(page: Path) -> None:
    """Packages that the page's programs import, and those inside them."""
    text = (page / "licenses.txt").read_text("utf-8")
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "web/page").glob("*.ts"))
    imported = set(re.findall(r'from "((?:@\w[\w-]*/)?\w[\w-]*)', sources))
    assert imported == {"@jsquash/jpeg", "fast-png", "onnxruntime-web"}
    for name in imported | {"fflate", "iobuffer", "onnxruntime-common", "libjpeg-turbo", "MozJPEG"}:
        assert name in text.partition("=" * 80)[0], name
    for words in ("Copyright (c) Microsoft", "Apache License", "Independent JPEG Group", "protobuf", "Eigen"):
        assert words in text, words


def test_the_programs_are_built_from_these_sources() -> None:
    """`make page` was run, and its results committed."""
    sources = [path for name in ("page", "report") for path in sorted((ROOT / "web" / name).iterdir())]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    built = list(ASSETS.glob("*.js"))
    assert len(built) == 4
    for path in built:
        assert path.read_text("utf-8").partition("\n")[0].endswith(digest), path


def test_what_the_wheel_grows_by_is_small() -> None:
    assert sum(path.stat().st_size for path in ASSETS.iterdir()) < 2_500_000
