"""One class against nine as a user meets it: a folder of small images, `onlygood fit` and `evaluate`.

    python -m benchmarks.anomaly.small_images fashion-mnist=FOLDER cifar10=FOLDER
    python -m benchmarks.anomaly.small_images --table

For the recipe `auto`: which recipe suits images of 32 px? Development classes alone, whose labels were looked
at. Of the class 3,000 images are given, and 500 of its test images with 1,000 of all others are judged. One
run is one JSON file under results/small_images, and a run that has one is not repeated.
"""

import argparse
from pathlib import Path

from PIL import Image

from benchmarks import harness
from benchmarks.anomaly.one_class_methods import DEVELOPMENT
from benchmarks.anomaly.runs import Run
from benchmarks.data import READERS

RECIPES = ("maps", "small-images")
BENCHMARK = "small_images"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", nargs="*", metavar="NAME=FOLDER", help=f"of {', '.join(DEVELOPMENT)}")
    parser.add_argument("--recipes", nargs="+", default=RECIPES)
    parser.add_argument("--classes", nargs="+", help="some of the development classes")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--table", action="store_true", help="print what has been measured")
    options = parser.parse_args()
    for given in options.data:
        name, _, folder = given.partition("=")
        place = _as_files(name, Path(folder))
        for seed in options.seeds:
            for split in options.classes or DEVELOPMENT[name]:
                for recipe in options.recipes if split in DEVELOPMENT[name] else ():
                    run = Run(BENCHMARK, place, name, split, recipe, seed)
                    if not run.file.is_file():
                        harness.write_result(run.file, run.measure() | {"command": _command(run)})
    print(table())


def _as_files(name: str, folder: Path) -> Path:
    """The data set as PNG files, ``train/CLASS`` of the development classes and ``test/CLASS`` of all."""
    place = harness.RUNS / "data" / f"{name}-files"
    if place.is_dir():
        return place
    data, unfinished = READERS[name](folder), place.with_suffix(".unfinished")
    for part, images, labels in (
        ("train", data.train, data.train_labels),
        ("test", data.test, data.test_labels),
    ):
        for number, kind in enumerate(data.names):
            if part == "test" or kind in DEVELOPMENT[name]:
                (unfinished / part / kind).mkdir(parents=True, exist_ok=True)
                for i in (labels == number).nonzero()[0]:
                    Image.fromarray(images[i].squeeze()).save(unfinished / part / kind / f"{i:05}.png")
    unfinished.rename(place)
    return place


def _command(run: Run) -> str:
    return (
        f"python -m benchmarks.anomaly.small_images {run.dataset}=FOLDER --classes {run.split} "
        f"--recipes {run.recipe} --seeds {run.seed}"
    )


def table() -> str:
    """AUROC of each recipe on each class, and what fitting took."""
    runs = harness.read_results(BENCHMARK)
    classes = [(name, kind) for name, kinds in DEVELOPMENT.items() for kind in kinds]
    rows = []
    for recipe in sorted({run["recipe"] for run in runs}):
        ours = [run for run in runs if run["recipe"] == recipe]
        cells = [recipe]
        for name, kind in classes:
            found = [
                run["evaluate"]["image_auroc"]["value"]
                for run in ours
                if (run["dataset"], run["split"]) == (name, kind)
            ]
            cells.append(harness.spread(found, 3) if found else "–")
        minutes = [run["fit"]["cpu_seconds"] / 60 for run in ours]
        rows.append([*cells, f"{sum(minutes) / len(minutes):.1f}"])
    return harness.markdown(["recipe, AUROC", *(kind for _, kind in classes), "fit, CPU min"], rows)


if __name__ == "__main__":
    main()
