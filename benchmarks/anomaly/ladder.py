"""Recipes on unlike products: a ladder of rungs, each measured on all development sets.

    python -m benchmarks.anomaly.ladder DATA --weights FILE                   # every rung, seeds 0 and 1
    python -m benchmarks.anomaly.ladder DATA --rungs fast stages23 --sets tiles brick --set pool.top=3
    python -m benchmarks.anomaly.ladder --table

A rung is the name of a recipe, a YAML file, or the name of one in benchmarks/anomaly/rungs. DATA holds the
data sets under their names, as folders or .zip archives; plates are rendered. One run is one JSON file under
results/ladder, and a run that has one is not repeated. Lists, models and logs stay below runs/ladder. Labels
may be looked at here: designs and defaults are chosen on these sets, and the documentation says so.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import harness
from benchmarks.anomaly import ladder_table
from benchmarks.anomaly.runs import Run

RUNGS = harness.HERE / "anomaly" / "rungs"
SHIPPED = ("fast", "instant", "maps", "surfaces")
_PLATES_SEED = 100  # added to the run's: never a demo's
_RENDER = (
    "import pathlib, sys; from onlygood.deploy.demo.dataset import Counts, write; "
    "write(pathlib.Path(sys.argv[1]), int(sys.argv[2]), Counts())"
)


@dataclass(frozen=True)
class Product:
    """A data set and its split; ``file`` is what it is called in DATA."""

    dataset: str
    split: str
    file: str = ""


PRODUCTS = {
    "plates": Product("plates", "given"),
    "tiles": Product("magnetic-tile", "grouped", "magnetic_tile"),
    "kolektor": Product("kolektor", "grouped", "kolektor"),
    "bottle": Product("bottle", "given", "bottle"),
    "toothbrush": Product("toothbrush", "given", "toothbrush"),
    "casting": Product("casting", "random", "casting"),
    "brick": Product("brick", "random", "brick"),
    "tiles-random": Product("magnetic-tile", "random", "magnetic_tile"),
}
REPORTED = "tiles-random"  # for comparison with papers only, in no mean
DEVELOPMENT = [name for name in PRODUCTS if name != REPORTED]


def main() -> None:
    options = _arguments()
    if options.table:
        names = {(product.dataset, product.split): name for name, product in PRODUCTS.items()}
        print(ladder_table.table(harness.read_results("ladder"), names, REPORTED))
        return
    runs = [run for run in _runs(options) if not run[1].file.is_file()]
    for product, seed in sorted({(name, run.seed) for name, run in runs}):
        _source(options.data, PRODUCTS[product], seed)
    print(f"{len(runs)} runs, {options.jobs} at a time", flush=True)
    with ThreadPoolExecutor(options.jobs) as pool:
        went_well = list(pool.map(_finish, runs))
    if not all(went_well):
        sys.exit(1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="?", metavar="DATA", help="folder of the data sets")
    every = [*SHIPPED, *sorted(path.stem for path in RUNGS.glob("*.yaml"))]
    parser.add_argument("--rungs", nargs="+", default=every, metavar="RUNG", help=f"of {', '.join(every)}")
    parser.add_argument("--sets", nargs="+", choices=PRODUCTS, default=DEVELOPMENT, metavar="SET")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1], help="of the split and of the fit")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as of onlygood fit")
    parser.add_argument("--steps", type=int, help="train so many instead of the recipe's (a smoke test)")
    parser.add_argument("--weights", type=Path, help="for the rungs whose file names encoder_weights")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time, of one thread each")
    parser.add_argument("--table", action="store_true", help="print the ladder of all finished runs")
    options = parser.parse_args()
    if not options.table and not options.data:
        parser.error("give DATA (or --table)")
    return options


def _runs(options: argparse.Namespace) -> Iterator[tuple[str, Run]]:
    """Whole rows of the ladder first: all sets of a rung and seed, then the next."""
    for seed in options.seeds:
        for rung in options.rungs:
            own = RUNGS / f"{rung}.yaml"
            recipe = str(own) if own.is_file() else rung
            text = Path(recipe).read_text("utf-8") if Path(recipe).is_file() else ""
            begins = "\nencoder_weights:" in text
            if begins and not options.weights:
                print(f"{rung}: left out; --weights says where the weights are that it begins with")
                continue
            more = {
                "changes": tuple(options.set),
                "steps": None if "steps: 0" in text else options.steps,
                "weights": options.weights.resolve() if begins else None,
            }
            for name in options.sets:
                product = PRODUCTS[name]
                place = _place(options.data, product, seed)
                yield name, Run("ladder", place, product.dataset, product.split, recipe, seed, **more)


def _finish(job: tuple[str, Run]) -> bool:
    """Run and write the result; whether that went well."""
    name, run = job
    try:
        result = run.measure()
    except SystemExit as error:
        print(f"FAILED {run.name}: {error}", flush=True)
        return False
    result["command"] = _command(name, run)
    harness.write_result(run.file, result)
    shutil.rmtree(run.folder / "cache", ignore_errors=True)
    area, minutes = result["evaluate"]["image_auroc"]["value"], result["fit"]["cpu_seconds"] / 60
    print(f"{run.name}: AUROC {area:.3f}, {minutes:.1f} CPU min", flush=True)
    return True


def _command(name: str, run: Run) -> str:
    """What repeats this run alone."""
    words: list[Any] = ["python -m benchmarks.anomaly.ladder DATA --rungs", Path(run.recipe).stem]
    words += ["--sets", name, "--seeds", run.seed]
    words += [f"--set {change}" for change in run.changes]
    words += ["--steps", run.steps] if run.steps else []
    words += ["--weights", run.weights.name] if run.weights else []
    return " ".join(map(str, words))


# --- data


def _place(data: Path, product: Product, seed: int) -> Path:
    """The folder or archive of a data set."""
    if not product.file:
        return harness.RUNS / "data" / f"{product.dataset}-{_PLATES_SEED + seed}"
    folder = data / product.file
    return folder if folder.is_dir() else folder.with_suffix(".zip")


def _source(data: Path, product: Product, seed: int) -> None:
    """Render or unpack before the runs, so that no two do it at once."""
    place = _place(data, product, seed)
    if product.file:
        harness.unpacked(place)
    elif not place.is_dir():
        place.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="unfinished-", dir=place.parent))
        command = [sys.executable, "-c", _RENDER, "images", str(_PLATES_SEED + seed)]
        harness.run_measured(command, folder, "render")
        (folder / "images").rename(place)
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
