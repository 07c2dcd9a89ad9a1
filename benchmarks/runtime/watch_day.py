"""A day of `onlygood watch` in minutes: kills, full disks, dead receivers, half-written files. Root only.

    python -m benchmarks.runtime.watch_day --files 50000 --kills 20 --output benchmarks/results/watch/day.json

Files of 8 x 8 pixels come into a folder, some half-written at first, some renamed, one in ten anomalous. The
model scores the mean of the pixels. Meanwhile the watch is killed (SIGKILL) at random times and started
again; the disk of its state and rows, a tmpfs, is filled up and emptied; the webhook and the MQTT broker
(mosquitto, where installed) go away and come back. In the end each file must have exactly one row, with the
right verdict; each verdict must have arrived at both receivers; each flagged file must have been moved. A
file that stays half-written for ten times the settle time has a row of status error first, which its second
row replaces, as docs/watch.md says; these are told with their times.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper
from PIL import Image

from benchmarks.harness import onlygood, provenance, typed_command
from benchmarks.runtime.receivers import Broker, Hook
from onlygood.runtime.model.metadata import Metadata
from onlygood.runtime.model.modelfile import seal
from onlygood.runtime.model.onnxscan import METADATA_KEY

SIDE, LIMIT = 8, 217  # gray levels above are anomalous
DISK = 256  # MB


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=50_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--full", type=int, default=4, help="times that the disk is full")
    parser.add_argument("--away", type=int, default=4, help="times that the receivers are away")
    parser.add_argument("--seconds", type=float, default=400, help="in which the files come")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    with small_disk() as disk, tempfile.TemporaryDirectory() as folder:
        day = Day(Path(folder), disk, options)
        facts = day.run()
    result = {"command": typed_command(), **provenance(), **facts}
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(facts, indent=1))
    sys.exit(bool(facts["wrong"]))


@contextmanager
def small_disk() -> Iterator[Path]:
    """A disk that can be filled."""
    folder = Path(tempfile.mkdtemp())
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}m", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
        folder.rmdir()


def model_file(path: Path) -> None:
    """A model whose score is the mean of the pixels."""
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["floats", "axes"], ["score"], keepdims=0),
            helper.make_node("Squeeze", ["floats", "last"], ["heatmap"]),
        ],
        "mean",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", SIDE, SIDE, 1])],
        [
            helper.make_tensor_value_info("score", TensorProto.FLOAT, ["N"]),
            helper.make_tensor_value_info("heatmap", TensorProto.FLOAT, ["N", SIDE, SIDE]),
        ],
        [
            onnx.numpy_helper.from_array(np.array([1, 2, 3]), "axes"),
            onnx.numpy_helper.from_array(np.array([3]), "last"),
        ],
    )
    values = {
        "name": "mean",
        "recipe": {},
        "input": {"height": SIDE, "width": SIDE, "channels": 1},
        "heatmap": (SIDE, SIDE),
        "calibration": {"scores": [float(n) for n in range(LIMIT - 98, LIMIT + 1)], "max_false_alarms": 0.01},
        "self_test": {"scores": [0.0], "tolerance": 0.01},
        "parity": {"max_relative": 0.0, "images": 1},
        "provenance": {},
    }
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, {METADATA_KEY: Metadata.parse(values, "benchmark").model_dump_json()})
    path.write_bytes(seal(model.SerializeToString()))


class Day:
    """All that happens, and what came of it."""

    def __init__(self, folder: Path, disk: Path, options: argparse.Namespace) -> None:
        self.folder, self.disk, self.options = folder, disk, options
        self.incoming, self.flagged = folder / "in", folder / "flagged"
        self.incoming.mkdir()
        self.rows = disk / "rows.jsonl"
        self.random = random.Random(options.seed)
        self.hook = Hook()
        self.broker = Broker(folder) if shutil.which("mosquitto") else None
        (folder / "secret").write_text("0123456789abcdef")
        model_file(folder / "model.onnx")
        self.log = (folder / "log").open("ab")
        self.starts = self.full_seconds = 0
        self.expected: dict[str, str] = {}
        self.halves: dict[str, float] = {}  # files that were half-written at first: when (seconds since 1970)
        self.whole: dict[str, float] = {}  # and when the rest came

    def command(self, *more: str) -> list[str]:
        """The watch."""
        receivers = ["--webhook", f"http://127.0.0.1:{self.hook.port}/"]
        receivers += ["--webhook-secret", str(self.folder / "secret")]
        if self.broker:
            receivers += ["--mqtt", f"mqtt://127.0.0.1:{Broker.PORT}/line/1"]
        paths = ["-o", str(self.rows), "--state", str(self.disk / "state")]
        paths += ["--move-flagged", str(self.flagged), "--metrics-file", str(self.folder / "watch.prom")]
        watch = [
            "watch",
            str(self.folder / "model.onnx"),
            str(self.incoming),
            "--settle",
            "0.3",
            "--poll",
            "1",
        ]
        return onlygood(*watch, *paths, *receivers, *more)

    def start(self) -> subprocess.Popen[bytes]:
        """Start the watch, as a service manager does."""
        self.starts += 1
        return subprocess.Popen(self.command(), stdout=self.log, stderr=self.log)

    def run(self) -> dict[str, Any]:
        """The day."""
        begin = time.monotonic()
        events = self._plan()
        producer = threading.Thread(target=self._produce)
        child = self.start()
        producer.start()
        for at, event in events:
            time.sleep(max(0.0, begin + at - time.monotonic()))
            if event == "kill":
                child.kill()
                child.wait()
                child = self.start()
            else:
                getattr(self, event)()
            if child.poll() is not None:  # what systemd would do; counted below
                child = self.start()
        producer.join()
        came = time.monotonic() - begin
        child.send_signal(signal.SIGTERM)
        graceful = child.wait(600)
        stopped = time.monotonic() - begin
        last = subprocess.run(
            self.command("--once"), stdout=self.log, stderr=self.log, check=False
        ).returncode
        seconds = time.monotonic() - begin
        time.sleep(3)
        facts = self._judge()
        if self.broker:
            self.broker.close()
        return {
            "files": self.options.files,
            "kills": self.options.kills,
            "starts": self.starts,
            "disk full, seconds": round(self.full_seconds),
            "receivers away, times": self.options.away,
            "exit code of SIGTERM": graceful,
            "exit code of the last run": last,
            "seconds until the last file came": round(came),
            "until the watch had stopped": round(stopped),
            "until the last run was done": round(seconds),
            **facts,
        }

    def _plan(self) -> list[tuple[float, str]]:
        """What happens when, in seconds."""
        whole = self.options.seconds
        events = [(self.random.uniform(0.01, 1) * whole, "kill") for _ in range(self.options.kills)]
        for number in range(self.options.full):
            at = (number + 0.5) / self.options.full * whole
            events += [(at, "fill"), (at + 0.05 * whole, "empty")]
        for number in range(self.options.away):
            at = (number + 0.2) / self.options.away * whole
            events += [(at, "leave"), (at + 0.1 * whole, "come_back")]
        return sorted(events)

    def fill(self) -> None:
        """Fill the disk of the state, to the last byte."""
        self._filled = time.monotonic()
        with suppress(OSError), (self.disk / "ballast").open("ab", buffering=0) as file:
            while True:
                file.write(bytes(1 << 20))
        with suppress(OSError), (self.disk / "ballast2").open("ab", buffering=0) as file:
            while True:
                file.write(bytes(512))

    def empty(self) -> None:
        """There is space again."""
        for name in ("ballast", "ballast2"):
            (self.disk / name).unlink(missing_ok=True)
        self.full_seconds += time.monotonic() - self._filled

    def leave(self) -> None:
        """Both receivers go."""
        self.hook.away()
        if self.broker:
            self.broker.away()

    def come_back(self) -> None:
        """Both receivers are there again."""
        self.hook.back()
        if self.broker:
            self.broker.back()

    def _produce(self) -> None:
        """Files come, evenly over the time."""
        rng, count = random.Random(self.options.seed + 1), self.options.files
        begin, half = time.monotonic(), []
        for number in range(count):
            time.sleep(max(0.0, begin + number / count * self.options.seconds - time.monotonic()))
            bad = rng.random() < 0.1
            name = f"{number // 1000:03}/{number:06}.png"
            self.expected[name] = "anomalous" if bad else "normal"
            path = self.incoming / name
            path.parent.mkdir(exist_ok=True)
            value = rng.randrange(LIMIT + 1, 256) if bad else rng.randrange(LIMIT)
            hidden = path.with_name(f".{path.name}")
            Image.fromarray(np.full((SIDE, SIDE), value, np.uint8)).save(hidden, "PNG")
            if rng.random() < 0.02:  # half of it now, the rest later
                data = hidden.read_bytes()
                path.write_bytes(data[: len(data) // 2])
                self.halves[name] = time.time()
                half.append((path, data, number + rng.randrange(1, 50)))
                hidden.unlink()
            else:
                hidden.rename(path)
            for late in [late for late in half if late[2] <= number]:
                self._complete(*late[:2])
                half.remove(late)
        for path, data, _ in half:
            self._complete(path, data)

    def _complete(self, path: Path, data: bytes) -> None:
        """Write the whole of a file that was half-written."""
        self.whole[str(path.relative_to(self.incoming))] = time.time()
        path.write_bytes(data)

    def _story(self, name: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """What happened to a file: its writing in seconds since it was begun, and its rows in seconds too."""
        of_it = [row for row in rows if str(Path(row["path"]).relative_to(self.incoming)) == name]
        told = [datetime.fromisoformat(row["time"]).timestamp() for row in of_it]
        begun = self.halves.get(name, told[0])
        return {
            "file": name,
            "whole after": round(self.whole[name] - begun, 2) if name in self.whole else None,
            "rows": [
                {key: row[key] for key in ("status", "size", "id", "error")} | {"after": round(at - begun, 2)}
                for row, at in zip(of_it, told, strict=True)
            ],
        }

    def _judge(self) -> dict[str, Any]:
        """What came of it, and what of that is wrong."""
        rows = [json.loads(line) for line in self.rows.read_text().splitlines()]
        replaced = {row["replaces"] for row in rows if "replaces" in row}
        given_up = Counter(
            str(Path(row["path"]).relative_to(self.incoming)) for row in rows if row["id"] in replaced
        )
        paths = Counter(
            str(Path(row["path"]).relative_to(self.incoming)) for row in rows if row["id"] not in replaced
        )
        verdicts = {str(Path(row["path"]).relative_to(self.incoming)): row["status"] for row in rows}
        ids = {row["id"] for row in rows}
        anomalous = {name for name, status in self.expected.items() if status == "anomalous"}
        moved = {str(path.relative_to(self.flagged)) for path in self.flagged.rglob("*.png")}
        left = {str(path.relative_to(self.incoming)) for path in self.incoming.rglob("*.png")}
        receivers = {"webhook": self.hook.came} | ({"mqtt": self.broker.came} if self.broker else {})
        wrong = {
            "files without a row": len(set(self.expected) - set(paths)),
            "files with two rows": sum(count > 1 for count in paths.values()),
            "rows of no file": len(set(paths) - set(self.expected)),
            "verdicts that were replaced": sum(r["status"] != "error" for r in rows if r["id"] in replaced),
            "ids that came twice": len(rows) - len(ids),
            "wrong verdicts": sum(verdicts.get(name) != status for name, status in self.expected.items()),
            "flagged files that were not moved": len(anomalous - moved),
            "other files that were moved": len(moved - anomalous),
            "files that are gone": len(set(self.expected) - left - moved),
        }
        wrong |= {
            f"verdicts that never came to {name}": len(ids - set(came)) for name, came in receivers.items()
        }
        again = {f"sent again to {name}": came.total() - len(came) for name, came in receivers.items()}
        late = {"half-written files given up first": sum(name in self.halves for name in given_up)}
        twice = [self._story(name, rows) for name, count in (paths + given_up).items() if count > 1]
        return {
            "rows": len(rows),
            **late,
            **again,
            "files with more than one row": twice,
            "wrong": {name: count for name, count in wrong.items() if count},
        }


if __name__ == "__main__":
    if os.geteuid():
        sys.exit("only root may mount the small disk that is filled up")
    main()
