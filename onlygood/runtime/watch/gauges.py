"""What a watch tells Prometheus of itself."""

import time
from pathlib import Path

from onlygood import __version__
from onlygood.runtime.atomic import write_atomically
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.rows.drift import RATE, Monitor
from onlygood.runtime.rows.verdicts import Status
from onlygood.runtime.watch.metrics import Metric, each, exposition, one
from onlygood.runtime.watch.watcher import Watcher

_EVERY = 5.0  # seconds
_NAME = "onlygood_watch"


class MetricsFile:
    """A file that is replaced every few seconds; if it cannot be, the watch goes on without."""

    def __init__(self, path: Path, model: str) -> None:
        self._path = path
        self._model = model
        self._started = time.time()
        self._next = 0.0
        self._failed = False

    def __call__(self, watcher: Watcher, *, now: bool = False) -> None:
        """Write if it is time, or ``now``."""
        if not now and watcher.clock() < self._next:
            return
        self._next = watcher.clock() + _EVERY
        try:
            text = exposition(gauges(watcher, self._model, self._started))
            write_atomically(self._path, text.encode())
        except OnlygoodError as error:
            if not self._failed:
                watcher.say(f"{error}; metrics are not written for now")
            self._failed = True
        else:
            self._failed = False


def gauges(watcher: Watcher, model: str, started: float) -> list[Metric]:
    """The numbers of a watch. Counters are over all runs with the same state."""
    state, tally = watcher.state, watcher.tally
    names = ["rows", *(["move"] if watcher.moves else []), *(courier.name for courier in watcher.couriers)]
    queued = dict.fromkeys(names, (0, 0)) | state.queued()
    verdicts = dict.fromkeys(map(str, Status), 0) | state.counts("verdicts")
    metrics = [
        each(f"{_NAME}_verdicts_total", "counter", "Verdicts by outcome.", "status", verdicts),
        each(
            f"{_NAME}_told_total",
            "counter",
            "Verdicts that a receiver has.",
            "receiver",
            dict.fromkeys(names, 0) | state.counts("told"),
        ),
        each(
            f"{_NAME}_refused_total",
            "counter",
            "Verdicts that a receiver did not take, each try counted.",
            "receiver",
            dict.fromkeys(names, 0) | state.counts("refused"),
        ),
        each(
            f"{_NAME}_queued",
            "gauge",
            "Verdicts that wait for a receiver.",
            "receiver",
            {name: waiting for name, (waiting, _) in queued.items()},
        ),
        each(
            f"{_NAME}_set_aside",
            "gauge",
            "Verdicts that a receiver refused so often that they wait for the next start.",
            "receiver",
            {name: aside for name, (_, aside) in queued.items()},
        ),
        each(
            f"{_NAME}_reachable",
            "gauge",
            "Whether the last try to reach a receiver succeeded.",
            "receiver",
            {courier.name: float(not courier.backoff.failing) for courier in watcher.couriers},
        ),
        one(f"{_NAME}_unsettled_files", "gauge", "Files that are not judged yet.", len(watcher.folder)),
        one(f"{_NAME}_vanished_total", "counter", "Files gone before they were judged.", tally.vanished),
        one(f"{_NAME}_folder_readable", "gauge", "Whether the folder is there.", watcher.folder.readable),
        one(f"{_NAME}_state_writable", "gauge", "Whether verdicts can be written down.", not tally.unsaved),
        one(f"{_NAME}_threshold", "gauge", "Scores above are anomalous.", watcher.settings.threshold),
        one(f"{_NAME}_started_seconds", "gauge", "Unix time of the start.", started),
        one(f"{_NAME}_alive_seconds", "gauge", "Unix time at which this was written.", time.time()),
        one(
            f"{_NAME}_info",
            "gauge",
            "The model.",
            1,
            model=model,
            sha256=watcher.settings.model,
            version=__version__,
        ),
    ]
    if watcher.drift is not None:
        metrics += _drift(watcher.drift.monitor)
    if tally.last is not None:
        metrics.append(one(f"{_NAME}_last_verdict_seconds", "gauge", "Unix time of the last.", tally.last))
    return metrics


def _drift(monitor: Monitor) -> list[Metric]:
    """Whether images are like those of the calibration."""
    capital = monitor.stream.capital
    moved = {name: float(name in monitor.moved) for name in capital}
    return [
        one(
            "onlygood_promise_holds",
            "gauge",
            "Whether the rate of false alarms is promised.",
            not monitor.moved,
        ),
        each("onlygood_drift", "gauge", "Whether this has moved since the calibration.", "statistic", moved),
        each("onlygood_drift_capital", "gauge", "Of a gambler who bets on a change.", "statistic", capital),
        one(
            "onlygood_drift_evidence",
            "gauge",
            f"Mean capital; {1 / RATE:g} is an alarm.",
            monitor.stream.evidence,
        ),
        one("onlygood_drift_images", "gauge", "Images of this stream so far.", monitor.stream.images),
    ]
