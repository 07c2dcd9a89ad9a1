"""The programs in `examples` say what `onlygood score` says; skipped where what they need is not here."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from onlygood import Detector
from onlygood.runtime.model.metadata import Metadata
from onlygood.runtime.model.modelfile import seal
from onlygood.runtime.model.onnxscan import METADATA_KEY

EXAMPLES = Path(__file__).parent.parent / "examples"
NODE = shutil.which("node")
HELD_OUT = {"scores": [0.1, 0.15, 0.2, 0.25, 0.3], "max_false_alarms": 0.25}


def packages(*names: str) -> list[str] | None:
    """Flags of the compiler for these libraries; None if one is not here."""
    tool = shutil.which("pkg-config")
    if tool is None or shutil.which("c++") is None:
        return None
    flags = ["--cflags", "--libs"] if names == ("libonnxruntime",) else ["--cflags"]
    found = subprocess.run([tool, *flags, *names], capture_output=True, text=True, check=False)  # noqa: S603
    return found.stdout.split() if found.returncode == 0 else None


RUNTIME, OTHERS = packages("libonnxruntime"), packages("stb", "nlohmann_json")


def weighing(tmp_path: Path, shape: tuple[int, int, int], resize: str, groups: Any = None) -> Path:
    """A model whose score is a weighted mean of all pixels: each one that is wrong is seen."""
    height, width, channels = shape
    weights = np.random.default_rng(0).uniform(0.1, 1, shape).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["floats", "weights"], ["weighed"]),
        helper.make_node("ReduceSum", ["weighed", "all"], ["score"], keepdims=0),
        helper.make_node("ReduceMean", ["weighed", "colors"], ["heatmap"], keepdims=0),
    ]
    values = {"weights": weights / weights.sum() / 255, "all": np.array([1, 2, 3]), "colors": np.array([3])}
    graph = helper.make_graph(
        nodes,
        "weighing",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", *shape])],
        [
            helper.make_tensor_value_info("score", TensorProto.FLOAT, ["N"]),
            helper.make_tensor_value_info("heatmap", TensorProto.FLOAT, ["N", height, width]),
        ],
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    metadata = Metadata.parse(
        {
            "name": "weighing",
            "recipe": {},
            "input": {"height": height, "width": width, "channels": channels, "resize": resize},
            "heatmap": (height, width),
            "calibration": HELD_OUT | {"groups": groups},
            "self_test": {"scores": [1.0], "tolerance": 1e-5},
            "parity": {"max_relative": 0.0, "images": 1},
            "provenance": {"names": "größe ✓"},  # UTF-8 in the metadata
        },
        "test",
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, {"first": "x", METADATA_KEY: metadata.model_dump_json(), "last": ""})
    path = tmp_path / "weighing.onnx"
    path.write_bytes(seal(model.SerializeToString()))
    return path


def scene(height: int, width: int, channels: int) -> NDArray[np.uint8]:
    """Noise on a slope: no two rows are alike, nor two columns; small ones are darker."""
    rng = np.random.default_rng(height * width)
    slope = (
        np.linspace(0, 150 if height > 50 else 20, height)[:, None, None]
        * np.linspace(0.2, 1, width)[None, :, None]
    )
    pixels = slope + rng.integers(0, 105, (height, width, channels))
    return pixels.astype(np.uint8)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("pictures")
    forms = {"gray": 1, "color": 3, "gray-alpha": 2, "alpha": 4}
    sizes = [(24, 40), (7, 5), (301, 199), (100, 403), (23, 41)]
    paths = []
    for name, channels in forms.items():
        for height, width in sizes:
            path = folder / f"{name}-{width}x{height}.png"
            Image.fromarray(np.squeeze(scene(height, width, channels))).save(path)
            paths.append(path)
    palette = Image.fromarray(scene(60, 80, 3)).quantize(32)
    palette.save(folder / "palette.png")
    for channels, name in ((1, "gray.jpg"), (3, "color.jpg")):
        Image.fromarray(np.squeeze(scene(200, 300, channels))).save(folder / name, quality=92)
    return [*paths, folder / "palette.png", folder / "gray.jpg", folder / "color.jpg"]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """How each program is called that can run here."""
    found = {}
    if NODE is not None and (EXAMPLES / "javascript/node_modules").is_dir():
        found["javascript"] = [NODE, str(EXAMPLES / "javascript/score.mjs")]
    if RUNTIME is not None and OTHERS is not None:
        made = tmp_path_factory.mktemp("cpp") / "score"
        line = ["c++", "-std=c++17", "-O1", str(EXAMPLES / "cpp/score.cpp"), "-o", str(made)]
        subprocess.run([*line, *OTHERS, *RUNTIME], check=True)  # noqa: S603
        found["cpp"] = [str(made)]
    return found


@pytest.fixture(params=["javascript", "cpp"])
def program(request: pytest.FixtureRequest, programs: dict[str, list[str]]) -> list[str]:
    if request.param not in programs:
        pytest.skip("what it needs is not here: examples/README.md says what")
    return programs[request.param]


def said(program: list[str], model: Path, paths: list[Path]) -> Iterator[tuple[float, float, str]]:
    done = subprocess.run(  # noqa: S603
        [*program, str(model), *map(str, paths)], capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert [line.split(" ", 3)[3] for line in lines] == [str(path) for path in paths]
    for line in lines:
        score, p, verdict, _ = line.split(" ", 3)
        yield float(score), float(p), verdict


@pytest.mark.parametrize(
    ("shape", "resize", "groups"),
    [
        ((24, 40, 3), "stretch", None),
        ((40, 24, 1), "pad", [4, 4, 9, 2, 2]),
        ((33, 32, 3), "crop", None),
        ((32, 33, 3), "pad", None),
    ],
)
def test_a_program_says_what_onlygood_says(
    *,
    program: list[str],
    tmp_path: Path,
    pictures: list[Path],
    shape: tuple[int, int, int],
    resize: str,
    groups: list[int] | None,
) -> None:
    model = weighing(tmp_path, shape, resize, groups)
    detector = Detector.load(model)
    verdicts = set()
    for path, (score, p, verdict) in zip(pictures, said(program, model, pictures), strict=True):
        expected = detector.score(path)
        assert score == pytest.approx(expected.score, rel=1e-3 if path.suffix == ".jpg" else 5e-6), path.name
        assert p == pytest.approx(expected.p_value, rel=1e-3)
        assert verdict == ("anomalous" if expected.anomalous else "normal")
        verdicts.add(verdict)
    assert len(verdicts) == 2


def test_what_a_program_would_score_differently_it_refuses(
    program: list[str], tmp_path: Path, gray: Callable[[str, int], Path], tiny: Path
) -> None:
    deep = tmp_path / "deep.png"
    Image.fromarray(np.full((8, 8), 4000, np.uint16)).save(deep)
    other = tmp_path / "other.onnx"
    other.write_bytes(b"\x08\x0a\x12\x00")
    for model, image in ((tiny, deep), (other, gray("x.png", 5)), (tiny, tmp_path / "none.png")):
        done = subprocess.run(  # noqa: S603
            [*program, str(model), str(image)], capture_output=True, text=True, check=False
        )
        assert done.returncode != 0
        assert done.stdout == ""
