"""Drift, looked for across restarts: the state holds what was seen, and the rest follows from it."""

import json

from onlygood.runtime import jsontext
from onlygood.runtime.model.appearance import Appearance
from onlygood.runtime.rows.drift import Monitor, Observation, observed, watched
from onlygood.runtime.rows.verdicts import Row
from onlygood.runtime.watch.state import Memory, State


class Drift:
    """A monitor that the state remembers.

    Args:
        monitor: at its beginning.
        state: what an earlier run saw.
        settings: names the model and all that the monitor was made with; what was seen under others is no
            part of the stream.
    """

    def __init__(self, monitor: Monitor, state: State, settings: str) -> None:
        self.monitor = monitor
        self._settings = settings
        text, seen = state.drift()
        memory = json.loads(text) if text else {}
        self._begin = state.next
        if memory.get("settings") == settings:
            self._begin = memory["begin"]
            monitor.recall(memory["monitor"], [_parsed(line) for _, line in seen])

    def add(self, row: Row, number: int) -> tuple[Row, str, str]:
        """Look at one more row: returns it, with what has moved; what the state keeps; words for people."""
        streams = self.monitor.streams
        seen = observed(row)
        row, words = watched(row, self.monitor)
        if self.monitor.streams != streams:
            self._begin = number + 1
        kept = "" if seen is None else jsontext.dumps([seen.score, seen.flagged, *seen.appearance])
        return row, kept, words

    def memory(self) -> Memory:
        """What the state is to keep beside the observations."""
        values = {"settings": self._settings, "begin": self._begin, "monitor": self.monitor.memory()}
        return Memory(jsontext.dumps(values), self._begin)


def _parsed(line: str) -> Observation:
    score, flagged, *look = json.loads(line)
    return Observation(score, flagged, Appearance(*look))
