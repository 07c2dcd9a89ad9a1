"""The page's own reading and resizing, run by Node, against Pillow's: equal to the last bit."""

import base64
import json
import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import PIL
import pytest
from numpy.typing import NDArray
from pictures import SCENE, chunk, encode, packed, png16, seeds
from PIL import Image

from onlygood.deploy.explaining import Explanation
from onlygood.deploy.page import folder
from onlygood.runtime.errors import ImageError
from onlygood.runtime.images.area import blanked, runs_of
from onlygood.runtime.images.reader import load_image
from onlygood.runtime.images.resize import paste_box, resize
from onlygood.runtime.images.spec import InputSpec
from onlygood.runtime.model import calibration, frames
from onlygood.runtime.model.selftest import generated_image
from onlygood.runtime.rows.verdicts import csv_line

NODE = shutil.which("node")
HERE = Path(__file__).parent
PROGRAM = Path(folder.__file__).parent / "assets/pixels.js"
pytestmark = [
    pytest.mark.skipif(NODE is None, reason="needs Node"),
    pytest.mark.filterwarnings("ignore:Corrupt EXIF data"),
]
# Older ones begin with the rows whatever the size, which may move a pixel by a gray level.
SLACK = 0 if int(PIL.__version__.partition(".")[0]) >= 13 else 1

Cases = Sequence[dict[str, Any]]
Run = Callable[[Cases], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    decoder = tmp_path_factory.mktemp("decoder") / "jpeg.wasm.gz"
    decoder.write_bytes(folder.program_files()[decoder.name])
    return partial(run_by, decoder)


def run_by(decoder: Path, cases: Cases) -> list[dict[str, Any]]:
    assert NODE is not None
    done = subprocess.run(  # noqa: S603 - the Node that was found
        [NODE, HERE / "node.mjs", PROGRAM, decoder],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    assert not [case for case in found if "failed" in case]
    return found


def text(data: bytes | NDArray[np.uint8]) -> str:
    return base64.b64encode(data if isinstance(data, bytes) else data.tobytes()).decode()


def same(found: dict[str, Any], ours: NDArray[np.uint8]) -> bool:
    return bool((np.abs(pixels(found).astype(int) - ours.ravel()) <= SLACK).all())


def pixels(found: dict[str, Any], key: str = "pixels") -> NDArray[np.uint8]:
    return np.frombuffer(base64.b64decode(found[key]), np.uint8)


def file_case(data: bytes, spec: InputSpec) -> dict[str, Any]:
    return {"act": "file", "bytes": text(data), "spec": spec.model_dump()}


def spec_of(rng: np.random.Generator) -> InputSpec:
    height, width = (int(side) for side in rng.integers(8, 40, 2))
    kind = ("stretch", "pad", "crop")[rng.integers(3)]
    return InputSpec(height=height, width=width, channels=int(rng.choice([1, 3])), resize=kind)


# --- resize


def test_resize_is_pillows_to_the_last_bit(run: Run) -> None:
    """300 sizes up and down, of all three kinds, gray and color, from noise: every weight is exercised."""
    rng = np.random.default_rng(0)
    cases, expected = [], []
    for _ in range(300):
        spec = spec_of(rng)
        height, width, channels = *rng.integers(1, 120, 2), rng.choice([1, 3])
        image = rng.integers(0, 256, (height, width, channels), np.uint8)
        cases.append(
            {
                "act": "array",
                "bytes": text(image),
                "width": int(width),
                "height": int(height),
                "channels": int(channels),
                "spec": spec.model_dump(),
            }
        )
        left, upper, right, lower = paste_box(int(width), int(height), spec)
        box = (left / width, upper / height, right / width, lower / height)
        expected.append((resize(image, spec), box, (height, width, spec)))
    for found, (image, box, what) in zip(run(cases), expected, strict=True):
        assert same(found, image), what
        assert found["box"] == pytest.approx(box, abs=1e-12), what


def test_a_large_photo_shrinks_as_in_pillow(run: Run) -> None:
    """Sums of many weights: 3000 pixels in a row become 64."""
    y, x = np.ogrid[:2000, :3000]
    image = ((x * y // 97) % 256).astype(np.uint8)[..., None]
    spec = InputSpec(height=48, width=64, channels=1)
    case = {"act": "array", "bytes": text(image), "width": 3000, "height": 2000, "channels": 1}
    (found,) = run([case | {"spec": spec.model_dump()}])
    assert same(found, resize(image, spec))


# --- files


def photo(height: int = 37, width: int = 53) -> Image.Image:
    """A colored picture that a JPEG changes visibly, of odd sides."""
    y, x = np.mgrid[:height, :width]
    channels = [128 + 120 * np.sin(x / 5 + y / 9), 128 + 120 * np.cos(y / 4), (x * 7 + y * 3) % 256]
    return Image.fromarray(np.stack(channels, axis=2).astype(np.uint8))


def jpegs() -> dict[str, bytes]:
    exif = Image.Exif()
    files = {
        f"subsampled {kind}, quality {quality}": encode(photo(), "JPEG", subsampling=kind, quality=quality)
        for kind in (0, 1, 2)
        for quality in (30, 75, 95)
    }
    files |= {"progressive": encode(photo(), "JPEG", progressive=True)}
    files |= {"gray": encode(photo().convert("L"), "JPEG")}
    files |= {"restarts": encode(photo(), "JPEG", restart_marker_blocks=2)}
    for told in range(1, 9):
        exif[0x0112] = told
        files[f"turned {told}"] = encode(photo(), "JPEG", exif=exif)
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="6"/></x:xmpmeta>'
    files["turned by XMP"] = encode(photo(), "JPEG", xmp=xmp)
    files["a thumbnail that ends first"] = encode(photo(), "JPEG", exif=b"Exif\0\0II*\0\xff\xd9\0\0")
    return files


def pngs() -> dict[str, bytes]:
    deep = (np.arange(24 * 16 * 3).reshape(16, 24, 3) * 53 % 65536).astype(np.uint16)
    rgba = np.dstack([SCENE, np.arange(16 * 24, dtype=np.uint8).reshape(16, 24)])
    gray = Image.fromarray(SCENE[..., 0])
    palette = Image.fromarray(SCENE).quantize(13)
    exif = Image.Exif()
    exif[0x0112] = 8
    files = {
        "color": encode(SCENE),
        "gray": encode(gray),
        "alpha": encode(rgba),
        "gray and alpha": encode(Image.fromarray(rgba[..., [0, 3]], "LA")),
        "1 bit": encode(gray.convert("1")),
        "palette": encode(palette),
        "palette of 4 bits": encode(palette, bits=4),
        "palette with a clear color": encode(palette, transparency=3),
        "color with a clear color": encode(SCENE, transparency=(1, 2, 3)),
        "turned": encode(SCENE, exif=exif),
        "16 bits, gray": png16(deep[..., 0]),
        "16 bits, color": png16(deep),
        "16 bits, interlaced": png16(deep, interlaced=True),
        "16 bits, gray and alpha": png16(deep[..., :2]),
        "animated": encode(SCENE, save_all=True, append_images=[Image.fromarray(255 - SCENE)]),
    }
    for bits in (2, 4):
        values = (np.arange(9 * 5).reshape(9, 5) % 2**bits).astype(np.uint8)
        files[f"gray of {bits} bits"] = small_gray(values, bits)
    return files


def small_gray(values: NDArray[np.uint8], bits: int, *, interlaced: bool = False) -> bytes:
    height, width = values.shape
    step = len(packed(values[:1], bits))
    flat = packed(values, bits)
    rows = b"".join(b"\0" + flat[i * step : (i + 1) * step] for i in range(height))
    head = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, int(interlaced))
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("files", [jpegs, pngs])
def test_files_are_read_as_by_the_command_line(run: Run, files: Callable[[], dict[str, bytes]]) -> None:
    """Pixels, sizes and notes; the JPEGs too, since both decode by libjpeg-turbo."""
    named = files()
    specs = [
        InputSpec(height=16, width=24, channels=3, bit_depth=16),
        InputSpec(height=19, width=11, channels=1, bit_depth=12),
    ]
    cases = [(name, data, spec) for name, data in named.items() for spec in specs]
    for (name, data, spec), found in zip(cases, run([file_case(d, s) for _, d, s in cases]), strict=True):
        image = load_image(data, spec)
        assert "refused" not in found, (name, found)
        assert (found["width"], found["height"]) == (image.width, image.height), name
        assert same(found, image.pixels), (name, spec)
        assert tuple(found["notes"]) == image.notes, name


def test_what_is_not_read_is_refused_in_words(run: Run) -> None:
    cmyk = encode(photo().convert("CMYK"), "JPEG")
    png, jpeg = encode(SCENE), encode(photo(), "JPEG")
    flipped = bytearray(png)
    flipped[-20] ^= 1
    refused = {
        "empty": (b"", "the file is empty"),
        "text": (b"no image", "no picture of a known kind"),
        "cut PNG": (png[:-30], "incomplete PNG"),
        "flipped PNG": (bytes(flipped), "damaged or incomplete PNG"),
        "cut JPEG": (jpeg[: len(jpeg) // 2], "incomplete JPEG"),
        "CMYK": (cmyk, "printing colors"),
        "sBIT": (png16(SCENE[..., 0].astype(np.uint16), chunk(b"sBIT", b"\x0c")), "sBIT"),
        "interlaced, 2 bits": (small_gray(np.zeros((8, 8), np.uint8), 2, interlaced=True), "interlaced"),
        "too large": (huge(), "more than the limit of 100000000"),
        "WebP": (encode(SCENE, "WEBP"), "a WebP picture"),
        "TIFF": (encode(SCENE, "TIFF"), "a TIFF picture"),
        "GIF": (encode(SCENE, "GIF"), "a GIF picture"),
        "BMP": (encode(SCENE, "BMP"), "a BMP picture"),
        "HEIC": (b"\0\0\0\x18ftypheic" + bytes(20), "Most Compatible"),
    }
    found = run([file_case(data, InputSpec(height=8, width=8, channels=1)) for data, _ in refused.values()])
    for (name, (_, words)), case in zip(refused.items(), found, strict=True):
        assert words in case.get("refused", ""), (name, case)


def huge() -> bytes:
    head = struct.pack(">IIBBBBB", 20000, 20000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def test_damaged_files_are_refused_or_read_as_by_the_command_line(run: Run) -> None:
    """Seeds of the fuzzed readers, cut and with bytes changed.

    Of JPEGs whose pixels are damaged so that no decoder notices, pixels may differ: sums overflow, which is
    done otherwise by vector instructions.
    """
    rng = np.random.default_rng(1)
    spec = InputSpec(height=9, width=13, channels=3)
    whole = [data for data in seeds().values() if data[:3] == b"\xff\xd8\xff" or data[:4] == b"\x89PNG"]
    whole += [*jpegs().values(), *pngs().values()]
    files = list(whole)
    for data in whole * 4:
        broken = np.frombuffer(data, np.uint8).copy()
        broken[rng.integers(len(broken), size=3)] ^= rng.integers(1, 256, 3, dtype=np.uint8)
        files += [data[: rng.integers(8, len(data))], broken.tobytes()]
    judged = 0
    for number, (data, found) in enumerate(zip(files, run([file_case(d, spec) for d in files]), strict=True)):
        if "refused" in found:
            continue
        try:
            image = load_image(data, spec)
        except ImageError as error:
            pytest.fail(f"read by the page, but not by us: {error}")
        if number < len(whole) or data[:4] == b"\x89PNG":
            assert same(found, image.pixels), data[:40]
            judged += 1
    assert judged > 40


# --- frames, p-values, the self-test


def test_frames_and_areas_are_judged_alike(run: Run) -> None:
    rng = np.random.default_rng(2)
    base = rng.integers(60, 200, (20, 30, 3), np.uint8)
    good = frames.ranges([frames.measure(base)] * 3)
    smooth = np.asarray(Image.fromarray(base).resize((6, 4)).resize((30, 20)))
    inside = np.zeros((20, 30), bool)
    inside[3:15, 4:27] = True
    images = {
        "as good": base,
        "constant": np.full_like(base, 128),
        "clipped": np.where(base > 150, 255, base).astype(np.uint8),
        "dark": base - 50,
        "bright": base + 50,
        "blurred": (smooth - 128) * 2 + 128,
        "halves": np.resize(np.repeat(np.array([150, 251], np.uint8), 3), base.shape),
        "vivid": np.where(rng.random(base.shape) > 0.5, 254, 1).astype(np.uint8),
    }
    cases, expected = [], []
    for image in images.values():
        for area in (None, inside):
            case = {"act": "frame", "bytes": text(image), "width": 30, "height": 20, "channels": 3}
            runs = None if area is None else runs_of(area)
            cases.append(case | {"area": runs, "frames": good.model_dump()})
            whole = blanked(image, area)
            expected.append((whole, frames.objection(frames.measure(whole), good)))
    for found, (whole, said) in zip(run(cases), expected, strict=True):
        assert np.array_equal(pixels(found, "blanked"), whole.ravel())
        assert found["said"] == said
    assert len({said.partition(":")[0] for _, said in expected}) >= 5


def test_p_values_are_ours(run: Run) -> None:
    scores = np.sort(np.random.default_rng(3).random(20)).round(2)
    weights = calibration.part_weights(np.arange(20) // 3)
    asked = [*scores[::4].tolist(), -1.0, 0.5, 2.0]
    for weight in (None, weights):
        known = {"scores": scores.tolist(), "weights": None if weight is None else weight.tolist()}
        found = run([{"act": "p", "score": score, "calibration": known} for score in asked])
        ours = calibration.p_values(scores, np.array(asked), weight)
        assert [case["p"] for case in found] == pytest.approx(ours.tolist(), rel=1e-12)


def test_cells_of_tables_are_ours(run: Run) -> None:
    """A name may be a formula to a spreadsheet, in wide signs too."""
    values: list[Any] = [f"{sign}1+1" for sign in "=+-@\t\r\n＝＋－＠'a ;"]
    values += ['a"b', "a,b", "a\nb", "a\rb", "", "－", -1.5]
    found = run([{"act": "cell", "value": value} for value in values])
    assert [case["cell"] + "\n" for case in found] == [csv_line([v], spreadsheet_safe=True) for v in values]


@pytest.mark.parametrize("images", [19, 31, 799])  # 1 / 32 is .03125: a half is rounded
@pytest.mark.parametrize("grouped", [False, True])
def test_p_values_are_said_as_explain_says_them(run: Run, images: int, grouped: bool) -> None:
    scores = np.linspace(0, 1, images)
    groups = [number // 2 for number in range(images)] if grouped else None
    weights = None if groups is None else calibration.part_weights(groups)
    known = {"scores": scores.tolist(), "weights": None if weights is None else weights.tolist()}
    model = {"threshold": 0.9, "calibration": known | {"unit": "parts"}}
    held_out = SimpleNamespace(scores=scores, groups=groups, parts=lambda: 0)
    detector: Any = SimpleNamespace(calibration=scores, metadata=SimpleNamespace(calibration=held_out))
    cases, ours = [], []
    for score in (0.0, 0.5, 0.97, 2.0):
        p = float(calibration.p_values(scores, np.array([score]), weights)[0])
        cases.append({"act": "meaning", "verdict": {"score": score, "p": p}, "model": model})
        row: Any = SimpleNamespace(score=score, p_value=p)
        ours.append(Explanation(detector, 0.1, row, look=row, regions=[], parts=None)._in_words())
    said = [case["said"][1].replace("\u00a0", " ").removesuffix(".").lower() for case in run(cases)]
    assert said == [words.replace(", 0 parts", "") for words in ours]


def test_images_of_the_self_test_are_ours(run: Run) -> None:
    specs = [InputSpec(height=31, width=17, channels=3), InputSpec(height=8, width=40, channels=1)]
    asked = [(spec, index) for spec in specs for index in range(9)]
    cases = [{"act": "generated", "spec": spec.model_dump(), "index": index} for spec, index in asked]
    for (spec, index), found in zip(asked, run(cases), strict=True):
        assert np.array_equal(pixels(found), generated_image(spec, index).ravel()), (spec, index)
