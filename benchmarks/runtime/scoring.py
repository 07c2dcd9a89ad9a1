"""Speed, memory and start-up of `onlygood score` on 500 files, beside rivals measured in the same minutes.

    python -m benchmarks.runtime.scoring IMAGES --run runs/surfaces/NAME
    python -m benchmarks.runtime.scoring IMAGES --model FILE --resave JPEG|PNG [--anomalib-python PATH]
    python -m benchmarks.runtime.scoring --table

IMAGES is a folder; where it holds fewer files than asked for, they repeat. Rivals run the same model file in
a plain sequential loop (Pillow and onnxruntime) and, of a run of surfaces.py, the same weights in torch eager
mode, with the default number of threads and with one. All take turns in several rounds, so that what else the
machine does hits all alike: compare the ratios, each the median of the rounds' own. --resave enlarges the
pictures to about 1 MP (1152 x 896) and saves them anew. --anomalib-python names the interpreter of an
environment with anomalib and openvino: its inferencers then run too, on models of their own.
"""

import argparse
import csv
import json
import re
import shutil
import statistics
import sys
from pathlib import Path
from typing import Any

from benchmarks import harness

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"}
HEAVY = {"torch", "torchvision", "sklearn", "scipy", "matplotlib", "cv2", "onnx", "accelerate"}
PROBES = 5  # of the start-up time
EAGER_BATCH = 8
NAMES = {
    "onlygood": "onlygood score",
    "onlygood-1": "onlygood score -j 1",
    "naive": "plain loop of onnxruntime, its default threads",
    "naive-1": "plain loop of onnxruntime, 1 thread",
    "eager": "torch eager, one at a time, its default threads",
    "eager-1": f"torch eager, batches of {EAGER_BATCH}, 1 thread",
    "anomalib-padim-torch": "anomalib PaDiM, TorchInferencer",
    "anomalib-padim-openvino": "anomalib PaDiM, OpenVINOInferencer",
    "anomalib-patchcore-torch": "anomalib PatchCore, TorchInferencer",
    "anomalib-patchcore-openvino": "anomalib PatchCore, OpenVINOInferencer",
}


def main() -> None:
    options = _arguments()
    if options.table:
        print(table(harness.read_results("scoring")))
        return
    given = (options.run or options.model).resolve()
    images = f"{options.images.resolve().name}-{options.count}"
    resaved = f"-{options.resave.lower()}" if options.resave else ""
    file = harness.result_file("scoring", f"{given.stem}_{images}{resaved}")
    if not file.is_file():
        harness.write_result(file, measure(options, given, file.stem))
    print(f"{file.stem}: {file.relative_to(harness.HERE)}")


def _arguments() -> argparse.Namespace:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("images", type=Path, nargs="?", help="folder of images")
    parser.add_argument("--run", type=Path, help="folder of a run of surfaces.py, with its model")
    parser.add_argument("--model", type=Path, help="a model file alone, without torch beside it")
    parser.add_argument("--resave", choices=["JPEG", "PNG"], help="score pictures of 1 MP in this format")
    parser.add_argument(
        "--anomalib-python", type=Path, metavar="PATH", help="interpreter that has anomalib, openvino"
    )
    parser.add_argument("--count", type=int, default=500, help="files to score")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--table", action="store_true", help="print the table of all finished runs")
    options = parser.parse_args()
    if not options.table and not (options.images and bool(options.run) != bool(options.model)):
        parser.error("give IMAGES and either --run or --model (or --table)")
    return options


def measure(options: argparse.Namespace, given: Path, name: str) -> dict[str, Any]:
    """Everything about one model on one folder."""
    origin = harness.provenance()
    folder = harness.RUNS / "scoring" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    source = options.images
    if options.resave:
        source = resaved(source, folder / "resaved", options.resave)
    distinct = link_images(source, folder / "images", options.count)
    model = str(given / "model.onnx" if options.run else given)
    score = harness.onlygood("score", model, "images", "-f", "csv", "-o", "scores.csv")
    commands = {
        "onlygood": score,
        "onlygood-1": [*score, "-j", "1"],
        "naive": _rival("naive", model, "images", "0"),
        "naive-1": _rival("naive", model, "images", "1"),
    }
    if options.run:
        commands["eager"] = _rival("eager", str(given), "images", "0", "1")
        commands["eager-1"] = _rival("eager", str(given), "images", "1", str(EAGER_BATCH))
    if options.anomalib_python:
        commands |= _anomalib(str(options.anomalib_python), folder)
    rounds: dict[str, list[dict[str, Any]]] = {key: [] for key in commands}
    scores: dict[str, dict[str, float]] = {}
    versions: dict[str, str] = {}
    for turn in range(options.rounds):
        keys = list(commands)[turn % len(commands) :] + list(commands)[: turn % len(commands)]
        for key in keys:  # each round begins with another one
            usage = harness.run_measured(commands[key], folder, key, threads=None).rounded()
            loop, scores[key], told = _outcome(folder, key)
            versions |= told
            rounds[key].append(usage | loop)
    imported = imported_modules(model, folder)
    return {
        "name": name,
        "command": harness.typed_command(options.images, given, options.anomalib_python),
        "commands": {"onlygood": "onlygood score model.onnx images -f csv -o scores.csv"},
        "environment": origin,
        "seed": None,  # nothing is drawn
        "model_sha256": json.loads(_output(["info", model, "--json"], folder))["sha256"],
        "versions": versions,  # of the rivals that tell them
        "images": options.count,
        "distinct_images": distinct,
        "rounds": rounds,
        "largest_difference": {
            key: difference(scores["onlygood"], scores[key])
            for key in commands
            if key != "onlygood" and not key.startswith("anomalib")  # which has models of its own
        },
        "start_up": start_up(model, folder),
        "imported_modules": len(imported),
        "heavy_imports": sorted(HEAVY & {module.partition(".")[0] for module in imported}),
    }


def resaved(source: Path, target: Path, format: str) -> Path:
    """Up to 60 pictures of the folder at 1152 x 896, JPEG of quality 92 or PNG; by a process of its own."""
    script = (
        "import sys; from pathlib import Path; from PIL import Image\n"
        "source, target, format = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]; target.mkdir()\n"
        "files = sorted(p for p in source.rglob('*') if p.suffix.lower() in {'.png', '.jpg', '.jpeg'})\n"
        "for i, file in enumerate(files[:60]):\n"
        "    image = Image.open(file).convert('RGB').resize((1152, 896), Image.Resampling.BICUBIC)\n"
        "    name = f'{i:03d}' + {'JPEG': '.jpg', 'PNG': '.png'}[format]\n"
        "    image.save(target / name, format, **({'quality': 92} if format == 'JPEG' else {}))\n"
    )
    command = [sys.executable, "-c", script, str(source.resolve()), str(target), format]
    harness.run_measured(command, target.parent, "resave")
    return target


def link_images(source: Path, target: Path, count: int) -> int:
    """Link ``count`` files, repeating the folder's as needed; returns how many are different."""
    files = sorted(path for path in source.resolve().rglob("*") if path.suffix.lower() in SUFFIXES)
    if not files:
        sys.exit(f"{source}: no images")
    target.mkdir()
    for index in range(count):
        path = files[index % len(files)]
        (target / f"{index:05d}{path.suffix}").symlink_to(path)
        path.read_bytes()  # into the system's cache: nobody measures the disk
    return min(count, len(files))


def _rival(*arguments: str) -> list[str]:
    return [sys.executable, str(harness.HERE / "runtime/rivals.py"), *arguments]


def _anomalib(python: str, folder: Path) -> dict[str, list[str]]:
    """Commands of anomalib's inferencers, whose models are made where no earlier run made them."""
    script, home = str(harness.HERE / "runtime/rivals_anomalib.py"), harness.RUNS / "scoring/anomalib"
    commands = {}
    for method in ("padim", "patchcore"):
        if not (home / method / "weights/openvino/model.xml").is_file():  # the last thing that is written
            make = [python, script, "make", str(home), method, "images"]
            harness.run_measured(make, folder, f"make-{method}", threads=None)
        for kind in ("torch", "openvino"):
            commands[f"anomalib-{method}-{kind}"] = [python, script, kind, str(home), method, "images"]
    return commands


def _outcome(folder: Path, key: str) -> tuple[dict[str, Any], dict[str, float], dict[str, str]]:
    """Loop time, where the process tells it, scores by file name, and versions."""
    if not key.startswith("onlygood"):
        found = json.loads((folder / f"{key}.out").read_text("utf-8").splitlines()[-1])
        return {"loop_seconds": found["seconds"]}, found["scores"], found.get("versions", {})
    said = re.search(r"in ([\d.]+) s \(", (folder / f"{key}.err").read_text("utf-8"))
    with (folder / "scores.csv").open(encoding="utf-8", newline="") as file:
        rows = {Path(row["path"]).name: float(row["score"]) for row in csv.DictReader(file)}
    return {"loop_seconds": float(said[1]) if said else None}, rows, {}


def difference(ours: dict[str, float], theirs: dict[str, float]) -> float:
    """Largest relative difference of any image's score: that all did the same work."""
    if ours.keys() != theirs.keys():
        sys.exit("not every process scored the same images")
    return max(abs(ours[name] - theirs[name]) / max(abs(ours[name]), 1e-6) for name in ours)


def imported_modules(model: str, folder: Path) -> list[str]:
    """Every module that scoring one image imports, by the interpreter's own account (-X importtime)."""
    command = [sys.executable, "-X", "importtime", "-m", "onlygood", "score", model, _first(folder)]
    harness.run_measured(command, folder, "imports", threads=None)
    lines = (folder / "imports.err").read_text("utf-8").splitlines()
    return [line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")][1:]


def start_up(model: str, folder: Path) -> dict[str, float]:
    """Median seconds of `--help` and of scoring a single image."""
    found = {}
    for name, arguments in (("help", ["--help"]), ("one_image", ["score", model, _first(folder)])):
        probes = [
            harness.run_measured(harness.onlygood(*arguments), folder, f"start-{name}", threads=None)
            for _ in range(PROBES)
        ]
        found[f"{name}_seconds"] = round(statistics.median(probe.wall_seconds for probe in probes), 3)
        found[f"{name}_cpu_seconds"] = round(statistics.median(probe.cpu_seconds for probe in probes), 3)
        found[f"{name}_peak_rss_mb"] = round(max(probe.peak_rss_mb for probe in probes), 1)
    return found


def _first(folder: Path) -> str:
    return str(next(iter(sorted((folder / "images").iterdir()))))


def _output(arguments: list[str], folder: Path) -> str:
    harness.run_measured(harness.onlygood(*arguments), folder, "info")
    return (folder / "info.out").read_text("utf-8")


# --- tables


def table(results: list[dict[str, Any]]) -> str:
    """Medians over the rounds.

    Rates and ratios are of the loop without start-up, in which all do the same work; ratios are medians of
    those within each round. What torch takes in all is left out, because it fits the head again first.
    """
    header = [
        "model, images",
        "images/s",
        "times onlygood",
        "scores differ by",
        "in all: s",
        "CPU s",
        "peak MB",
    ]
    rows, starts = [], []
    for result in results:
        for key, title in NAMES.items():
            if key not in result["rounds"]:
                continue
            some, differs = result["rounds"][key], result["largest_difference"].get(key)
            cells = [f"{_rate(result, key):.2g}", f"{_ratio(result, key):.2f}"]
            cells.append("–" if differs is None else f"{differs:.1g}")
            if key.startswith("eager"):
                cells += ["–"] * 3
            else:
                cells.append(f"{statistics.median(one['wall_seconds'] for one in some):.2f}")
                cells.append(f"{statistics.median(one['cpu_seconds'] for one in some):.2f}")
                cells.append(f"{max(one['peak_rss_mb'] for one in some):.0f}")
            rows.append([f"{result['name']}: {title}", *cells])
        start = result["start_up"]
        cells = [f"{start['help_seconds']:.2f}", f"{start['one_image_seconds']:.2f}"]
        heavy = ", ".join(result["heavy_imports"]) or "none"
        starts.append([result["name"], *cells, f"{start['one_image_peak_rss_mb']:.0f}", heavy])
    if not rows:
        return "no finished runs"
    watched = f"imports of {', '.join(sorted(HEAVY))}"
    start_header = ["start-up", "--help, s", "one image, s", "peak MB", watched]
    return harness.markdown(header, rows) + "\n\n" + harness.markdown(start_header, starts)


def _rate(result: dict[str, Any], key: str) -> float:
    """Images per second of the loop, the median of the rounds."""
    return result["images"] / statistics.median(_loops(result, key))


def _ratio(result: dict[str, Any], key: str) -> float:
    """How many times as fast as `onlygood score`, the median over rounds of the ratio within each."""
    pairs = zip(_loops(result, "onlygood"), _loops(result, key), strict=True)
    return statistics.median(ours / theirs for ours, theirs in pairs)


def _loops(result: dict[str, Any], key: str) -> list[float]:
    return [one["loop_seconds"] or one["wall_seconds"] for one in result["rounds"][key]]


if __name__ == "__main__":
    main()
