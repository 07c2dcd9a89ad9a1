"""8 bits against float on magnetic tiles: speed, size, AUROC lost, rank agreement, false alarms.

    python -m benchmarks.deploy.quantize DATA [--seed 0] [--recipe fast]
    python -m benchmarks.deploy.quantize --table

`onlygood fit` on the split of that seed, `quantize` with the very images of the fit, `evaluate` of both on
the test images, and the time of one image on one thread, both in turns. A fitted model below runs/quantize
is used again.
"""

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import harness
from benchmarks.anomaly import splits
from onlygood.deploy.agreement import spearman
from onlygood.deploy.smaller import milliseconds
from onlygood.runtime.images.reader import load_image
from onlygood.runtime.model.modelfile import load_model

DATASET, SPLIT = "magnetic-tile", "random"
MODELS = {"float": "model.onnx", "int8": "int8.onnx"}
ROUNDS = 5  # of timing, each of which is a median


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("data", type=Path, nargs="?", help="zip archive or folder of the magnetic tiles")
    parser.add_argument("--seed", type=int, default=0, help="of the split, the fit and the painted defects")
    parser.add_argument("--recipe", default="fast")
    parser.add_argument("--table", action="store_true", help="print the table of all finished runs")
    options = parser.parse_args()
    if options.table:
        print(table(harness.read_results("quantize")))
    elif options.data is None:
        parser.error("give DATA (or --table)")
    else:
        name = f"{DATASET}_{SPLIT}_{options.recipe}_seed{options.seed}"
        file = harness.result_file("quantize", name)
        if not file.is_file():
            harness.write_result(file, measure(options, name))
        print(f"{name}: {file.relative_to(harness.HERE)}")


def measure(options: argparse.Namespace, name: str) -> dict[str, Any]:
    folder, root = harness.RUNS / "quantize" / name, harness.unpacked(options.data)
    folder.mkdir(parents=True, exist_ok=True)
    train, test = splits.make_split(root, DATASET, SPLIT, options.seed)
    splits.write_lists(folder, train, test)
    (folder / "test.txt").write_text("".join(f"{item.path}\n" for item in test), encoding="utf-8")
    origin, seed = harness.provenance(), str(options.seed)
    commands = {
        "fit": ["fit", "train.csv", "-o", "model.onnx", "--recipe", options.recipe, "--seed", seed],
        "quantize": ["quantize", "model.onnx", "--calibration", "train.csv", "-o", "int8.onnx"],
    }
    commands["fit"] += ["--set", "training.threads=1"]
    commands["quantize"] += ["--seed", seed, "--json"]
    if not (folder / "model.onnx").is_file():
        harness.run_measured(harness.onlygood(*commands["fit"]), folder, "fit")
    usage = harness.run_measured(harness.onlygood(*commands["quantize"]), folder, "quantize")
    made = json.loads((folder / "quantize.out").read_text("utf-8"))
    found, scores = {}, {}
    for key, model in MODELS.items():
        found[key] = _evaluated(folder, key, model)
        scores[key] = _scores(folder, key, model)
    image = load_image(test[0].path, load_model(folder / "model.onnx").metadata.input).pixels
    data = [(folder / model).read_bytes() for model in MODELS.values()]
    rounds = [milliseconds(data, image) for _ in range(ROUNDS)]
    return {
        "name": name,
        "seed": options.seed,
        "command": harness.typed_command(options.data),
        "commands": [f"onlygood {' '.join(command)}" for command in commands.values()],
        "environment": origin,
        "images": {"train": len(train), "test": len(test)},
        "quantize": {key: made[key] for key in made if key not in ("path", "sha256")}
        | {"usage": usage.rounded()},
        "evaluate": found,
        "rank_agreement": {
            "test": spearman(scores["float"], scores["int8"]),
            "test_good": spearman(*(some[_good(test)] for some in scores.values())),
        },
        "milliseconds": [dict(zip(MODELS, times, strict=True)) for times in rounds],
    }


def _evaluated(folder: Path, key: str, model: str) -> dict[str, Any]:
    command = harness.onlygood("evaluate", model, "test.csv", "-f", "json", "-q")
    harness.run_measured(command, folder, f"evaluate-{key}")
    result = json.loads((folder / f"evaluate-{key}.out").read_text("utf-8"))
    return {name: result[name] for name in ("image_auroc", "pixel_auroc", "false_alarms", "detected")}


def _scores(folder: Path, key: str, model: str) -> np.ndarray:
    """Scores of the test images in the order of the list."""
    command = harness.onlygood("score", model, "--files-from", "test.txt", "--any-frame", "-q", "-f", "json")
    harness.run_measured(command, folder, f"score-{key}")
    rows = json.loads((folder / f"score-{key}.out").read_text("utf-8"))
    if any(row["score"] is None for row in rows):
        sys.exit(f"{model}: not every test image has a score")
    return np.array([row["score"] for row in rows])


def _good(test: list[splits.Item]) -> np.ndarray:
    return np.array([item.defect == "good" for item in test])


def table(results: list[dict[str, Any]]) -> str:
    """A row for each seed; times are medians of the rounds, ratios medians of the rounds' ratios."""
    header = ["seed", "AUROC float", "int8", "pixel AUROC float", "int8", "rank agreement, all", "good"]
    header += ["false alarms float", "int8", "promised", "MB float", "int8", "ms float", "int8", "times"]
    rows = []
    for result in results:
        sides, size = [result["evaluate"][key] for key in MODELS], result["quantize"]["bytes"]
        times = [[one[key] for one in result["milliseconds"]] for key in MODELS]
        ratio = statistics.median(a / b for a, b in zip(*times, strict=True))
        cells = [f"{side[area]['value']:.4f}" for area in ("image_auroc", "pixel_auroc") for side in sides]
        cells += [f"{result['rank_agreement'][key]:.4f}" for key in ("test", "test_good")]
        cells += [f"{side['false_alarms']['achieved']:.1%}" for side in sides]
        cells.append(f"{result['quantize']['max_false_alarms']:.1%}")
        cells += [f"{size[key] / 1e6:.2f}" for key in ("before", "after")]
        cells += [f"{statistics.median(some):.1f}" for some in times]
        rows.append([str(result["seed"]), *cells, f"{ratio:.2f}"])
    return harness.markdown(header, rows) if rows else "no finished runs"


if __name__ == "__main__":
    main()
