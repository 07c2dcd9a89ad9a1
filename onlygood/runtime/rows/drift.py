"""Are new images still like those that the model was calibrated on? If not, nothing is promised any more.

Verdicts promise a rate of false alarms as long as new good images and those of the calibration are
exchangeable: same camera, same light, same material. That is tested with every image, by gamblers
(`runtime/model/martingale.py`) who each bet that one statistic changes. Their mean capital reaches 1/RATE in
a stream of exchangeable images with probability at most RATE, however long it is; it is taken to be LENGTH
images long, and then the next one begins.
"""

from collections import deque
from dataclasses import asdict, dataclass, replace
from math import isfinite, nan
from typing import Any, NamedTuple

import numpy as np

from onlygood.runtime.model.appearance import Appearance, appearance
from onlygood.runtime.model.martingale import Bag, Gamblers, p_value_returns, share_returns
from onlygood.runtime.model.metadata import Metadata
from onlygood.runtime.rows.stream import Look
from onlygood.runtime.rows.verdicts import Row, Status, rounded

RATE = 0.01  # of streams without drift, the share with an alarm, at most
LENGTH = 10_000  # images of a stream
FLAGGED = 0.1  # share of flagged images from which on it is called drift
_RECENT = 50  # images whose median is told
_USUAL = 0.98  # of the calibration images lie in the range that is told

STATISTICS = ("score", *Appearance._fields)  # whose ranks are tested, beside the share of flagged images
_WORDS = {
    "score": "scores of images that are not flagged",
    "brightness": "brightness",
    "contrast": "contrast",
    "sharpness": "sharpness",
    "across": "horizontal position",
    "down": "vertical position",
    "flagged": "share of flagged images",
}
_CAUSES = {
    "score": "the material or the camera",
    "flagged": "the parts, the camera or the light",
    "brightness": "the light or the exposure",
    "contrast": "the light, the lens or the material",
    "sharpness": "the focus, the lens or the material",
    "across": "where camera and parts stand",
    "down": "where camera and parts stand",
}


class Observation(NamedTuple):
    """What drift is looked for in, of one image."""

    score: float
    flagged: bool
    appearance: Appearance


def look_at(look: Look) -> dict[str, Any]:
    """For `score_images`: what an image looks like, for its row and for `observed`."""
    if look.pixels is None:
        return {}
    values = appearance(look.pixels)._asdict()
    return {"appearance": {name: rounded(value) for name, value in values.items()}}


def observed(row: Row) -> Observation | None:
    """What a row tells, if its image could be read and `look_at` looked at it."""
    look = row.extras.get("appearance")
    if row.score is None or look is None:
        return None
    return Observation(row.score, row.status is not Status.NORMAL, Appearance(**look))


@dataclass(frozen=True)
class Reference:
    """What a model file tells of its calibration images."""

    values: dict[str, list[float]]  # by statistic; of older files only scores are known

    @classmethod
    def of(cls, metadata: Metadata, threshold: float) -> "Reference":
        """The calibration images that are not flagged at ``threshold``, which new ones are compared with.

        Given the threshold, which is one of their scores, those below it are distributed as scores of new
        images below it; the threshold itself is not, and is left out.
        """
        looks = metadata.appearance
        values = {} if looks is None else looks.model_dump()
        return cls({"score": [s for s in metadata.calibration.scores if s < threshold]} | values)


@dataclass(frozen=True)
class Alarm:
    """What has changed."""

    statistics: list[str]  # the clearest first
    image: int  # in the stream, from 1: when it was noticed
    since: int  # when it seems to have begun
    words: str


class Stream:
    """One stream of images, tested from its beginning on."""

    def __init__(self, reference: Reference, seed: int, flagged: float) -> None:
        self.images = 0
        self._capital = np.ones(len(_WORDS))
        self._reference = reference
        self._bags = {name: Bag(list(reference.values.get(name, ()))) for name in STATISTICS}
        self._gamblers = Gamblers(len(_WORDS))
        self._flagged = flagged
        self._ties = np.random.default_rng(seed)
        self._lowest, self._at = np.ones(len(_WORDS)), np.zeros(len(_WORDS), int)  # after which image
        self._recent: deque[list[float]] = deque(maxlen=_RECENT)

    @property
    def capital(self) -> dict[str, float]:
        """What each gambler has; 1 in the beginning."""
        return dict(zip(_WORDS, self._capital.tolist(), strict=True))

    @property
    def evidence(self) -> float:
        """The mean capital: 1 in the beginning, and 1/RATE for an alarm."""
        return float(self._capital.mean())

    def add(self, seen: Observation) -> Alarm | None:
        """Bet on one more image."""
        self.images += 1
        values = [nan if seen.flagged else seen.score, *seen.appearance]
        p = [
            self._bags[name].add(value, tie) if isfinite(value) else nan
            for name, value, tie in zip(STATISTICS, values, self._ties.random(len(values)), strict=True)
        ]
        flagged = share_returns(seen.flagged, self._flagged)
        self._capital = self._gamblers.play(np.vstack([p_value_returns(np.array(p)), flagged]))
        lower = self._capital <= self._lowest
        self._lowest[lower], self._at[lower] = self._capital[lower], self.images
        self._recent.append([*values, float(seen.flagged)])
        return self._alarm() if self.evidence >= 1 / RATE else None

    def _alarm(self) -> Alarm:
        capital = self.capital
        order = sorted(capital, key=lambda name: -capital[name])
        moved = [name for name in order if capital[name] >= 1 / RATE][:3]
        since = int(self._at[list(_WORDS).index(moved[0])]) + 1
        details = "; ".join(self._told(name, since) for name in moved)
        words = f"the images have changed since about image {since} of {self.images}: {details}"
        return Alarm(moved, self.images, since, words)

    def _told(self, name: str, since: int) -> str:
        """A statistic as it is and as it was, in words; the later half since the change says what it is."""
        half = max(1, (self.images - since + 1) // 2)
        recent = [values[list(_WORDS).index(name)] for values in self._recent][-half:]
        if name == "flagged":
            return f"{_WORDS[name]} {np.mean(recent):.0%} where up to {self._flagged:.0%} are expected"
        known = self._reference.values.get(name)
        low, high = Bag(known).middle(_USUAL) if known else self._bags[name].middle(_USUAL)
        than = "calibration images" if known else "the images so far"
        return f"{_WORDS[name]} {np.nanmedian(recent):.4g}, of {than} {low:.4g} to {high:.4g}"


class Monitor:
    """Streams one after another, and whether the promise holds.

    After an alarm a new stream begins with the next image. The promise is taken back until the model is
    calibrated anew, or a whole stream went by without an alarm.
    """

    def __init__(self, metadata: Metadata, threshold: float, *, flagged: float = FLAGGED) -> None:
        self._reference = Reference.of(metadata, threshold)
        self._flagged = flagged
        self.streams = 0  # that have ended
        self.alarm: Alarm | None = None  # the last one, while it stands
        self.stream = self._begin()

    def _begin(self) -> Stream:
        return Stream(self._reference, self.streams, self._flagged)

    @property
    def moved(self) -> list[str]:
        """The statistics that have moved; empty while the promise holds."""
        return [] if self.alarm is None else self.alarm.statistics

    def add(self, seen: Observation) -> str:
        """Look at one more image; returns what people should know, mostly nothing."""
        alarm, words = self.stream.add(seen), ""
        if alarm is not None:
            words = withdrawn(alarm)
            self.alarm = alarm
        elif self.stream.images < LENGTH:
            return ""
        elif self.alarm is not None:
            words = f"no change in {LENGTH} images: the rate of false alarms is promised again"
            self.alarm = None
        self.streams += 1
        self.stream = self._begin()
        return words

    def memory(self) -> dict[str, Any]:
        """What a later `recall` needs besides the observations of the stream that has not ended."""
        return {"streams": self.streams, "alarm": None if self.alarm is None else asdict(self.alarm)}

    def recall(self, memory: dict[str, Any], stream: list[Observation]) -> None:
        """Go on where an earlier monitor of the same settings stopped."""
        self.streams = memory["streams"]
        self.alarm = None if memory["alarm"] is None else Alarm(**memory["alarm"])
        self.stream = self._begin()
        for seen in stream:
            self.add(seen)


def watched(row: Row, monitor: Monitor) -> tuple[Row, str]:
    """A row after the monitor has looked at its image: it says what has moved; and words for people."""
    seen = observed(row)
    words = "" if seen is None else monitor.add(seen)
    return replace(row, extras={**row.extras, "drift": monitor.moved}), words


def withdrawn(alarm: Alarm) -> str:
    """That the promise does not hold any more, why, and what to do."""
    causes = " and ".join(dict.fromkeys(_CAUSES[name] for name in alarm.statistics))
    return (
        f"{alarm.words}. The rate of false alarms is no longer promised, and defects may be missed: look at"
        f" {causes}; if that is how it stays, give good images of now to `onlygood calibrate`"
    )
