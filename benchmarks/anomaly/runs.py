"""A recipe on a split as a user runs it: `onlygood fit`, `onlygood evaluate`, each in its own process."""

import hashlib
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import harness
from benchmarks.anomaly import splits


@dataclass(frozen=True)
class Run:
    """One fit and its evaluation; the seed is that of the split and of the fit."""

    benchmark: str  # whose result it is
    data: Path  # zip archive or folder of the data set
    dataset: str
    split: str
    recipe: str  # name or YAML file
    seed: int = 0
    changes: tuple[str, ...] = ()  # KEY=VALUE, as of `onlygood fit --set`
    steps: int | None = None  # instead of the recipe's
    weights: Path | None = None  # that the encoder begins with
    threads: int = 1

    @property
    def variant(self) -> str:
        """The recipe with what was changed of it, as a part of a file name."""
        changes = [re.sub(r"[^\w.+]+", "-", change).strip("-") for change in self.changes]
        steps = [f"steps-{self.steps}"] if self.steps else []
        return "_".join([Path(self.recipe).stem, *changes, *steps])

    @property
    def name(self) -> str:
        """Names the run and its files."""
        return f"{self.dataset}_{self.split}_{self.variant}_seed{self.seed}"

    @property
    def file(self) -> Path:
        """Where its result is."""
        return harness.result_file(self.benchmark, self.name)

    @property
    def folder(self) -> Path:
        """Where its lists, its model and the model's work folder are."""
        return harness.RUNS / self.benchmark / self.name

    def measure(self) -> dict[str, Any]:
        """The split, the fit and the evaluation; what an unfinished run left is removed first."""
        root = harness.unpacked(self.data)
        train, test = splits.make_split(root, self.dataset, self.split, self.seed)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        splits.write_lists(self.folder, train, test)
        origin = harness.provenance()
        commands = {
            "fit": self._fit(),
            "evaluate": self._evaluate(),
            "info": ["info", "model.onnx", "--json"],
        }
        usage = {
            key: harness.run_measured(harness.onlygood(*command), self.folder, key, threads=self.threads)
            for key, command in commands.items()
        }
        info = json.loads(self._read("info", root))
        measured = json.loads(self._read("evaluate", root))
        measured["dataset"] = "test.csv"
        metadata = info["metadata"]
        files = {str(Path(self.recipe).resolve()), str(self.weights)}
        shown = [Path(part).name if part in files else part for part in commands["fit"]]
        return {
            "name": self.name,
            "dataset": self.dataset,
            "split": self.split,
            "recipe": self.variant,
            "seed": self.seed,
            "command": harness.typed_command(self.data, Path(self.recipe)),
            "commands": [f"onlygood {' '.join(command)}" for command in (shown, commands["evaluate"])],
            "environment": origin,
            "threads": self.threads,
            "images": {
                "train": metadata["provenance"]["images"]["train"],
                "calibration": metadata["provenance"]["images"]["calibration"],
                "test_good": measured["n_good"],
                "test_anomalous": measured["n_anomalous"],
                "list_sha256": {part: self._digest(part, root) for part in ("train.csv", "test.csv")},
            },
            "fit": usage["fit"].rounded() | {"training": metadata["provenance"]["training"]},
            "evaluate": measured | {"usage": usage["evaluate"].rounded()},
            "model": {
                "bytes": info["bytes"],
                "input": metadata["input"],
                "heatmap": metadata["heatmap"],
                "parity": metadata["parity"],
                "recipe": metadata["recipe"],
                "libraries": metadata["provenance"]["libraries"],
            },
        }

    def _fit(self) -> list[str]:
        recipe = str(Path(self.recipe).resolve()) if Path(self.recipe).suffix else self.recipe
        fit = ["fit", "train.csv", "-o", "model.onnx", "--recipe", recipe, "--seed", str(self.seed)]
        fit += [part for change in self.changes for part in ("--set", change)]
        fit += ["--set", f"training.threads={self.threads}"]
        fit += ["--steps", str(self.steps)] if self.steps else []
        return fit + (["--encoder-weights", str(self.weights)] if self.weights else [])

    def _evaluate(self) -> list[str]:
        return ["evaluate", "model.onnx", "test.csv", "-f", "json", "--threads", str(self.threads)]

    def _read(self, key: str, root: Path) -> str:
        """What a command printed, without folders of this machine."""
        text = (self.folder / f"{key}.out").read_text("utf-8").replace(str(root), "DATA")
        return text if self.weights is None else text.replace(str(self.weights), self.weights.name)

    def _digest(self, part: str, root: Path) -> str:
        """SHA-256 of a list, wherever the data lie."""
        text = (self.folder / part).read_text("utf-8").replace(str(root), "DATA")
        return hashlib.sha256(text.encode()).hexdigest()
