"""Are false alarms as rare as promised? Good images that a model never saw, halved again and again.

    python -m benchmarks.anomaly.false_alarms RUN [RUN ...]   RUN: folders of surfaces.py, below runs/surfaces
    python -m benchmarks.anomaly.false_alarms --table

Each draw calibrates on one half and counts alarms on the other, with the code that the device runs:

images   Halves of single images. A shuffle makes them exchangeable whatever they show, so the promise must
         hold exactly, and alarms follow a Beta-binomial law. This tests the code.
parts    Halves of whole parts (physical tiles, castings). Images of one part resemble each other and are not
         exchangeable with those of other parts, so the promise does not cover this: it shows what is left of
         it where parts are photographed several times, and calibration and use see different parts.
named    The same halves, but the calibration knows its parts, so the promise covers this: the rate is that
         of an image drawn from a part drawn from the fresh ones.
whole    The same, for verdicts on whole parts: the maximum of a part's scores among those of the others.
shipped  No draws: the model's own calibration images against the good images of the test list. Where that was
         grouped, these are new parts, while the calibration images have siblings in training.
"""

import argparse
import hashlib
import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import betabinom

from benchmarks import harness
from onlygood.anomaly.data.datasets import discover
from onlygood.anomaly.evaluation.metrics import rate
from onlygood.runtime.images.reader import read_bytes
from onlygood.runtime.model import calibration
from onlygood.runtime.model.detector import Detector

ALPHAS = (0.05, 0.01)
SEED = 0

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Pool:
    """Good images that were not trained on: scores ``(N,)``, what each shows, and whether it calibrated."""

    scores: Floats
    parts: NDArray[np.str_]
    calibrated: NDArray[np.bool_]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, nargs="*", metavar="RUN", help="folder of a run of surfaces.py")
    parser.add_argument("--draws", type=int, default=1000, help="of calibration and fresh images")
    parser.add_argument("--table", action="store_true", help="print the table of all finished runs")
    options = parser.parse_args()
    if options.table:
        print(table(harness.read_results("false_alarms")))
        return
    if not options.runs:
        parser.error("give RUN (or --table)")
    for folder in options.runs:
        file = harness.result_file("false_alarms", folder.resolve().name)
        if not file.is_file():
            harness.write_result(file, measure(folder.resolve(), options.draws, options.runs))
        print(f"{folder.name}: {file.relative_to(harness.HERE)}")


def measure(folder: Path, draws: int, runs: list[Path]) -> dict[str, Any]:
    """Score the good images once, then draw."""
    origin = harness.provenance()
    detector = Detector.load(folder / "model.onnx")
    pool = read_pool(detector, folder)
    rng = np.random.default_rng(SEED)
    several = len(set(pool.parts)) < len(pool.parts)
    schemes: dict[str, Any] = {"images": halves(pool, draws, rng, by_part=False)}
    if several:
        schemes["parts"] = halves(pool, draws, rng, by_part=True)
        splits = [_half(pool, rng, by_part=True) for _ in range(draws)]
        for scheme in ("named", "whole"):
            rates = {f"{alpha:g}": _part_draws(pool, splits, alpha, scheme) for alpha in ALPHAS}
            schemes[scheme] = rates
    return {
        "name": folder.name,
        "command": harness.typed_command(*runs),
        "environment": origin,
        "seed": SEED,
        "draws": draws,
        "model_sha256": detector.file.sha256,
        "images": {
            "calibration": int(pool.calibrated.sum()),
            "held_out": int((~pool.calibrated).sum()),
            "parts": len(set(pool.parts)),
            "distinct_scores": len(np.unique(pool.scores)),
        },
        "schemes": schemes,
        "shipped": {} if detector.weights is not None else shipped(pool),  # parts: see `onlygood evaluate`
    }


def read_pool(detector: Detector, folder: Path) -> Pool:
    """The run's calibration images and the good images of its test list, scored by the model file.

    The calibration images must get the very scores that the file lists, or they are not those.
    """
    split = json.loads((folder / "model.work" / "split.json").read_text("utf-8"))
    held_back, trained = set(split["calibration"]), set(split["train"])
    parts = read_parts(folder)
    scores, names, calibrated = [], [], []
    for list_file, wanted in (("train.csv", held_back), ("test.csv", None)):
        known: set[str] = set()
        for sample in discover(folder / list_file, "all").samples:
            content = hashlib.sha256(read_bytes(sample.path)).hexdigest()
            old = content in trained if wanted is None else content not in wanted
            if sample.label or old or content in known or (wanted is None and content in held_back):
                continue
            known.add(content)
            scores.append(detector.score(sample.path).score)
            names.append(parts.get(str(sample.path)) or str(sample.path))
            calibrated.append(wanted is not None)
    pool = Pool(np.array(scores), np.array(names), np.array(calibrated))
    listed = detector.calibration
    if not np.allclose(np.sort(pool.scores[pool.calibrated]), listed, rtol=1e-4, atol=1e-6):
        sys.exit(f"{folder}: the calibration images do not get the scores that the model file lists")
    return pool


def read_parts(folder: Path) -> dict[str, str]:
    """What each image shows, by path, from the lists' last column."""
    rows = [row for name in ("train.csv", "test.csv") for row in harness.read_rows(folder / name)]
    return {row["path"]: row["group"] for row in rows}


def halves(pool: Pool, draws: int, rng: np.random.Generator, *, by_part: bool) -> dict[str, Any]:
    """Random halves, calibrated on one and counted on the other, at each rate that the halves allow."""
    splits = [_half(pool, rng, by_part=by_part) for _ in range(draws)]
    return {f"{alpha:g}": _draws(pool.scores, splits, alpha) for alpha in ALPHAS}


def _half(pool: Pool, rng: np.random.Generator, *, by_part: bool) -> NDArray[np.bool_]:
    """Which images calibrate: half of them, or so many whole parts that at least half of them do."""
    total = len(pool.scores)
    if not by_part:
        return np.isin(np.arange(total), rng.permutation(total)[: total // 2])
    names, part = np.unique(pool.parts, return_inverse=True)
    order = rng.permutation(len(names))
    upto = int(np.searchsorted(np.cumsum(np.bincount(part)[order]), total // 2)) + 1
    return np.isin(part, order[: min(upto, len(names) - 1)])


def _draws(scores: Floats, splits: list[NDArray[np.bool_]], alpha: float) -> dict[str, Any] | None:
    """Alarms of all draws against what is promised; None where a half is too small for this rate."""
    achieved, promised, expected_sd, inside, expected_inside, in_beta = [], [], [], [], [], []
    for chosen in splits:
        known, fresh = np.sort(scores[chosen]), scores[~chosen]
        n, m = len(known), len(fresh)
        if n < calibration.minimum_n(alpha):
            return None
        beta = calibration.achieved_interval(n, alpha)
        k = round(beta.mean * (n + 1))
        alarms = int(np.sum(calibration.p_values(known, fresh) <= alpha))
        if alarms != int(np.sum(fresh > calibration.threshold(known, alpha))):
            raise RuntimeError("threshold and p-values disagree")
        law = betabinom(m, k, n + 1 - k)
        low, high = law.ppf([0.025, 0.975])
        achieved.append(alarms / m)
        promised.append(beta.mean)
        expected_sd.append(law.std() / m)
        inside.append(low <= alarms <= high)
        expected_inside.append(law.cdf(high) - law.cdf(low - 1))
        in_beta.append(beta.low <= alarms / m <= beta.high)
    error = np.std(achieved, ddof=1) / math.sqrt(len(achieved))
    mean, promise = float(np.mean(achieved)), float(np.mean(promised))
    return {
        "promised": promise,
        "achieved": mean,
        "monte_carlo_error": float(error),
        "deviations": float((mean - promise) / error) if error else 0.0,
        "sd": float(np.std(achieved, ddof=1)),
        "beta_binomial_sd": float(np.mean(expected_sd)),
        "inside_95": float(np.mean(inside)),
        "beta_binomial_inside_95": float(np.mean(expected_inside)),
        "inside_beta_95": float(np.mean(in_beta)),
        "above_alpha": float(np.mean(np.array(achieved) > alpha)),
    }


def _part_draws(
    pool: Pool, splits: list[NDArray[np.bool_]], alpha: float, scheme: str
) -> dict[str, Any] | None:
    """Alarms on fresh parts where the calibration knows its parts; None where these are too few."""
    achieved = []
    _, part = np.unique(pool.parts, return_inverse=True)
    for chosen in splits:
        order = np.flatnonzero(chosen)[np.argsort(pool.scores[chosen], kind="stable")]
        known, groups = pool.scores[order], part[order].tolist()
        fresh, fresh_groups = pool.scores[~chosen], part[~chosen].tolist()
        weights: Floats | None = calibration.part_weights(groups)
        each = calibration.part_weights(fresh_groups)
        if scheme == "whole":
            known, weights = calibration.part_maxima(known, groups), None
            fresh = calibration.part_maxima(fresh, fresh_groups)
            each = np.ones(len(fresh))
        if calibration.rank(len(set(groups)), alpha) == 0:
            return None
        alarms = calibration.p_values(known, fresh, weights) <= alpha
        if (alarms != (fresh > calibration.threshold(known, alpha, weights))).any():
            raise RuntimeError("threshold and p-values disagree")
        achieved.append(float(each @ alarms / each.sum()))
    error = float(np.std(achieved, ddof=1) / math.sqrt(len(achieved)))
    mean = float(np.mean(achieved))
    return {
        "promised": alpha,
        "achieved": mean,
        "monte_carlo_error": error,
        "deviations": (mean - alpha) / error if error else 0.0,
        "sd": float(np.std(achieved, ddof=1)),
        "above_alpha": float(np.mean(np.array(achieved) > alpha)),
    }


def shipped(pool: Pool) -> dict[str, Any]:
    """The model's own calibration against the held-out images; ``p_value`` is of so many alarms or more."""
    known, fresh = np.sort(pool.scores[pool.calibrated]), pool.scores[~pool.calibrated]
    found: dict[str, Any] = {}
    for alpha in ALPHAS:
        n, m = len(known), len(fresh)
        if n < calibration.minimum_n(alpha):
            found[f"{alpha:g}"] = None
            continue
        promised = calibration.achieved_interval(n, alpha).mean
        k = round(promised * (n + 1))
        alarms = int(np.sum(calibration.p_values(known, fresh) <= alpha))
        tail = float(betabinom(m, k, n + 1 - k).sf(alarms - 1))
        achieved = rate(alarms, m)
        interval = {"low": achieved.low, "high": achieved.high}
        found[f"{alpha:g}"] = {
            "promised": promised,
            "achieved": achieved.value,
            **interval,
            "p_value": tail,
        }
    return found


def table(results: list[dict[str, Any]]) -> str:
    """A row for each run, scheme and rate."""
    header = ["run, scheme", "α", "promised", "achieved", "± (Monte Carlo)", "sd", "Beta-binomial sd"]
    header += ["in 95 % interval", "expected"]
    rows, ships = [], []
    for result in results:
        for scheme, rates in result["schemes"].items():
            for alpha, found in rates.items():
                if found is None:
                    rows.append([f"{result['name']}, {scheme}", alpha, *["too few images"], *["–"] * 6])
                    continue
                numbers = ("promised", "achieved", "monte_carlo_error", "sd", "beta_binomial_sd")
                shares = ("inside_95", "beta_binomial_inside_95")
                cells = [f"{found[key]:.4f}" if key in found else "–" for key in numbers]
                cells += [f"{found[key]:.1%}" if key in found else "–" for key in shares]
                rows.append([f"{result['name']}, {scheme}", alpha, *cells])
        for alpha, found in result["shipped"].items():  # none where the model is calibrated on parts
            if found is not None:
                interval = f"{found['low']:.3f} to {found['high']:.3f}"
                cells = [f"{found['promised']:.4f}", f"{found['achieved']:.4f}", interval]
                ships.append([result["name"], alpha, *cells, f"{found['p_value']:.2g}"])
    if not rows:
        return "no finished runs"
    shipped_header = ["as shipped", "α", "promised", "achieved", "95 % interval", "chance of as many alarms"]
    return harness.markdown(header, rows) + "\n\n" + harness.markdown(shipped_header, ships)


if __name__ == "__main__":
    main()
