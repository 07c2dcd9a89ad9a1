"""Damaged and hostile model files: do they give a verdict or a reason, in time and in memory?

    python -m benchmarks.runtime.fuzz_model --inputs 20000 --output benchmarks/results/fuzz/model.json

Whole files are changed as `tests/mutants.py` does: bytes; metadata; weights, shapes, types, operators, wires
and attributes of the graph. Nearly all are sealed again, so that what lies behind the seal is reached.
`--more` adds models, such as one of `onlygood fit`. Each is loaded and judges an image in a child process, so
that even a crash is an answer. Exits with 1 if there was a failure.
"""

import argparse
import json
import platform
import re
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
import conv_model
import hand_made
import mutants

from benchmarks.runtime.fuzzing import BATCH, Make, Say, answers
from onlygood.runtime.model.session import import_onnxruntime

SECONDS = 5.0  # CPU time that a file may take
MEGABYTES = 1500  # that the process may hold at its peak


def seeds(more: list[Path]) -> dict[str, bytes]:
    """Whole model files by name."""
    tiny = hand_made.seal(hand_made.with_metadata(hand_made.tiny_graph(), hand_made.tiny_metadata()))
    with tempfile.TemporaryDirectory() as folder:
        conv = conv_model.model_file(Path(folder) / "conv.onnx").read_bytes()
    return {"tiny": tiny, "conv": conv} | {path.name: path.read_bytes() for path in more}


def prepare(seed: int, more: list[Path]) -> tuple[Make, Say]:
    """What makes a file and what answers for it."""
    pool = list(seeds(more).values())
    place = tempfile.TemporaryDirectory()
    path = Path(place.name) / "m.onnx"

    def say(data: bytes, _: int) -> str:
        path.write_bytes(data)
        assert place  # which is removed with this function
        return mutants.answer(path)

    return (lambda number: mutants.mutant(number, seed, pool)), say


def general(said: str) -> str:
    """A reason without its numbers and names, to be counted."""
    said = re.sub(r"'[^']*'|\"[^\"]*\"|\([^()]*\)|\[[^\[\]]*\]|\{[^{}]*\}|:\S+", "…", said)
    return re.sub(r"-?\d[\d,.]*(e[+-]\d+)?", "N", said)[:70]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--more", type=Path, nargs="*", default=[], help="models from elsewhere")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    names = list(seeds(arguments.more))
    said: Counter[str] = Counter()
    failures: list[dict[str, Any]] = []
    slowest: list[tuple[float, int, str]] = []
    peak, number, begin = 0, 0, time.monotonic()
    limits = {"seconds": SECONDS, "megabytes": MEGABYTES}
    for found in answers(
        prepare, inputs=arguments.inputs, seed=arguments.seed, more=arguments.more, **limits
    ):
        name, number, peak = names[found.which], found.number + 1, max(peak, found.megabytes)
        if found.said.startswith("FAILURE"):
            failures.append({"input": found.number, "seed": name, "what": found.said})
            print(failures[-1], flush=True)
        said[general(found.said)] += 1
        slowest = sorted([*slowest, (round(found.seconds, 3), found.number, name)], reverse=True)[:5]
        if number % BATCH == 0:
            print(f"{number} files, {said['a verdict']} verdicts, {len(failures)} failures", flush=True)
    result = {
        "command": "python -m benchmarks.runtime.fuzz_model"
        f" --inputs {arguments.inputs} --seed {arguments.seed}",
        "models": names,
        "files": number,
        "verdicts": said.pop("a verdict", 0),
        "failures": failures,
        "largest_cpu_seconds": slowest,
        "peak_megabytes": peak,
        "minutes": round((time.monotonic() - begin) / 60, 1),
        "python": platform.python_version(),
        "onnxruntime": import_onnxruntime().__version__,
        "reasons": dict(said.most_common()),
    }
    if arguments.output is not None:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
