"""`onlygood evaluate`: a model measured on labeled images, as a table for people or as one JSON object."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from onlygood.anomaly.evaluation import evaluate
from onlygood.deploy.destination import check_folder
from onlygood.deploy.messages import speaker
from onlygood.deploy.opening import opened
from onlygood.deploy.options.models import EvaluateOptions
from onlygood.deploy.options.shared import MetricsFormat
from onlygood.deploy.sources import at_hand
from onlygood.deploy.tables import stdout, table
from onlygood.pretrain.progress import Bar
from onlygood.runtime import jsontext
from onlygood.runtime.images.files import printable
from onlygood.runtime.images.memory import Budget
from onlygood.runtime.images.reader import ReadOptions

_METRICS = {
    "image AUROC": "image_auroc",
    "image average precision": "image_ap",
    "false alarms at 95 % detected": "fpr95",
    "best F1": "f1_max",
    "pixel AUROC": "pixel_auroc",
    "pixel average precision": "pixel_ap",
    "AUPRO to 30 %": "aupro",
    "AUPRO to 5 %": "aupro_05",
}
_WIDTH = 30  # of the first column, so that the tables stand in line


def run(options: EvaluateOptions) -> int:
    """Print the metrics; returns 2 if an image could not be read, because the rest is not the whole."""
    if options.output is not None:
        check_folder(options.output)
    dataset = at_hand(options.dataset, speaker(quiet=options.quiet))
    with Bar("scoring", shown=not options.quiet) as bar:
        result = evaluate.evaluate(
            opened(options),
            dataset,
            output=options.output,
            threads=options.threads or 1,
            seed=options.seed,
            progress=bar.move,
            reader=ReadOptions(memory=Budget.of(options.max_memory)),
        )
    if options.format is MetricsFormat.JSON:
        typer.echo(jsontext.dumps(result, indent=2))
    else:
        _print_text(result, stdout())
    if not options.quiet:
        for line in _remarks(result, options.output):
            typer.echo(line, err=True)
    return 2 if result["unreadable"] else 0


def _print_text(result: dict[str, Any], console: Console) -> None:
    console.print(f"{printable(result['model'])}, model {result['model_sha256'][:12]}")
    console.print(printable(result["dataset_description"]), soft_wrap=True)
    console.print(f"{result['n_good']} good and {result['n_anomalous']} anomalous images scored", end="")
    console.print(f", {result['images_per_second']:.0f} a second")
    metrics = table(["metric"], ["value", "95 % interval"], least=_WIDTH)
    for name, key in _METRICS.items():
        if (found := result[key]) is not None:
            metrics.add_row(name, f"{found['value']:.3f}", f"{found['low']:.3f} to {found['high']:.3f}")
    if metrics.row_count:
        console.print(metrics)
    verdicts = table(
        [f"at the threshold {result['threshold']:.6g}"], ["share", "95 % interval"], least=_WIDTH
    )
    for name, key in (("good images flagged", "false_alarms"), ("anomalous images flagged", "detected")):
        found = result[key]
        if found["achieved"] is not None:
            spread = f"{found['low']:.1%} to {found['high']:.1%}"
            verdicts.add_row(name, f"{found['achieved']:.1%}", spread)
        if "promised" in found and found["achieved"] is not None:
            verdicts.add_row("  promised at most", f"{found['promised']:.1%}", "")
    for name, found in _parts(result["false_alarms_by_part"]):
        spread = f"{found['low']:.1%} to {found['high']:.1%}"
        verdicts.add_row(name, f"{found['achieved']:.1%}", spread)
        if "promised" in found:
            verdicts.add_row("  promised at most", f"{found['promised']:.1%}", "")
    console.print(verdicts)
    defects = table(["defect type"], ["AUROC", "95 % interval", "images"], least=_WIDTH)
    for name, found in result["per_defect"].items():
        spread = f"{found['low']:.3f} to {found['high']:.3f}"
        defects.add_row(printable(name), f"{found['auroc']:.3f}", spread, str(found["n"]))
    if defects.row_count:
        console.print(defects)


def _parts(found: dict[str, Any] | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """What was measured of good parts, with its name."""
    if found is not None:
        yield "good parts with an image flagged", found
        if found["ranked"] is not None:
            yield "good parts flagged as a whole", found["ranked"]


def _remarks(result: dict[str, Any], output: Path | None) -> Iterator[str]:
    """What a person should know beside the numbers."""
    if result["excluded_seen"]:
        yield f"{result['excluded_seen']} images were left out: the model was fitted or calibrated on them"
    if result["excluded_seen"] is None:
        yield "the model file lists no training images; make sure that none of them is in the data set"
    for count, missing, known in (
        ("n_good", "good", "how many anomalous images are detected"),
        ("n_anomalous", "anomalous", "how many good images are flagged"),
    ):
        if result[count] == 0:
            yield f"no {missing} images: only {known} can be measured"
    kinds = {
        "unreadable": "unreadable",
        "unusable_masks": "mask not used",
        "questioned_masks": "mask used, but",
    }
    for kind, name in kinds.items():
        for item in result[kind]:
            yield f"{name}: {printable(item['path'])}: {printable(item['reason'])}"
    yield from map(printable, result["notes"])
    if output is not None:
        yield f"pictures, scores.csv and metrics.json are in {printable(output)}"
