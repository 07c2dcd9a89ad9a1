"""What several commands do alike. No command imports another."""

import os
import sys
from pathlib import Path
from typing import Any

import typer

from onlygood.anomaly.data.datasets import discover
from onlygood.anomaly.data.layouts import UnclearFoldersError
from onlygood.anomaly.data.samples import Dataset
from onlygood.pretrain.networks.registry import DOWNLOAD
from onlygood.pretrain.overrides import parse_overrides, set_key
from onlygood.runtime.errors import OnlygoodError

SIDE = 224  # px, the shorter side at most of images for an encoder alone


def calm_openmp() -> None:
    """Let waiting OpenMP threads sleep: spinning on shared cores costs 10 to 30 times.

    Only works before torch is imported.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def good_images(folder: Path, *, all_good: bool) -> Dataset:
    """The images to learn from; where only a person can tell which are good, a person at hand is asked."""
    try:
        return discover(folder, part="train", all_good=all_good)
    except UnclearFoldersError as error:
        if not (sys.stdin.isatty() and sys.stderr.isatty() and typer.confirm(error.question, err=True)):
            raise
    return discover(folder, part="train", all_good=True)


def weight_files(weights: str | None) -> list[Path]:
    """The file that ``--encoder-weights`` names, if it names one."""
    return [] if weights in (None, DOWNLOAD) else [Path(str(weights))]


def recipe_changes(
    seed: int, overrides: list[str] | None, encoder: str | None, weights: str | None
) -> dict[str, Any]:
    """What the command line changes of a recipe; options of their own win over ``--set``."""
    changes: dict[str, Any] = {"training.seed": seed, **parse_overrides(overrides or [])}
    if encoder is not None:
        changes["encoder"] = encoder
    if weights is not None:
        changes["encoder_weights"] = weights
    return changes


def fill_sections(sections: dict[str, dict[str, Any]], overrides: list[str] | None) -> None:
    """Set ``SECTION.KEY=VALUE`` of ``--set`` in these sections.

    Raises:
        OnlygoodError: another section, or no key.
    """
    for key, value in parse_overrides(overrides or []).items():
        section, _, name = key.partition(".")
        if section not in sections or not name:
            raise OnlygoodError(f"--set {key}: begin with {', '.join(f'{section}.' for section in sections)}")
        set_key(sections, key, value)
