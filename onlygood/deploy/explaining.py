"""What a score means, in words for people: beside good images, where, and by which part of the model."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from onlygood.deploy.terms import Breakdown
from onlygood.runtime.images.files import display, printable
from onlygood.runtime.images.places import Region
from onlygood.runtime.model.detector import Detector
from onlygood.runtime.rows.stream import Look
from onlygood.runtime.rows.verdicts import Row, Status, rounded

_MOST_REGIONS = 5  # named in words


@dataclass(frozen=True)
class Compared:
    """A good image that looks like it, as the model judges it."""

    row: Row
    look: Look
    distance: float  # gray levels


@dataclass(frozen=True)
class Explanation:
    """All that is known of one image."""

    detector: Detector
    rate: float
    row: Row
    look: Look
    regions: list[Region]
    parts: Breakdown | None
    neighbors: list[Compared] = field(default_factory=list)

    @property
    def score(self) -> float:
        """The image's; there is a look only where there is one."""
        return 0.0 if self.row.score is None else self.row.score

    @property
    def threshold(self) -> float:
        """The score above which images are anomalous."""
        return self.detector.threshold(self.rate)

    def good_scores(self) -> dict[str, float]:
        """What good images scored that the model never saw."""
        half, most = np.quantile(self.detector.calibration, [0.5, 0.9])
        return {"median": float(half), "90 %": float(most), "highest": float(self.detector.calibration[-1])}

    def beyond(self) -> int:
        """How many of these scored as high or higher."""
        return int(np.sum(self.detector.calibration >= self.score))

    def as_json(self) -> dict[str, Any]:
        """As JSON values."""
        row = self.row
        return {
            "path": display(row.path),
            "status": row.status.value,
            "reason": row.error,
            "score": rounded(row.score),
            "threshold": rounded(self.threshold),
            "false_alarms": self.rate,
            "p_value": rounded(row.p_value),
            "good_images": len(self.detector.calibration),
            "good_images_as_high": self.beyond(),
            "good_scores": {name: rounded(value) for name, value in self.good_scores().items()},
            "regions": [region.as_json() for region in self.regions],
            "region_threshold": rounded(self.detector.heat_threshold(self.rate)),
            "joined_by": None if self.parts is None else self.parts.how,
            "parts": []
            if self.parts is None
            else [{"label": term.label, "value": rounded(term.value)} for term in self.parts.terms],
            "neighbors": [
                {
                    "path": display(one.row.path),
                    "distance": rounded(one.distance),
                    "score": rounded(one.row.score),
                    "status": one.row.status.value,
                }
                for one in self.neighbors
            ],
        }

    def lines(self) -> Iterator[str]:
        """As text."""
        row, good = self.row, self.good_scores()
        yield f"{printable(row.path)}: {row.status.value}"
        if row.status is Status.UNUSABLE:
            yield f"  the frame cannot be judged, and its score says nothing: {row.error}"
        side = "above" if self.score > self.threshold else "not above"
        yield (
            f"  score {self.score:.6g}, {side} the limit of {self.threshold:.6g}, which at most"
            f" {100 * self.rate:.3g} % of new good images exceed"
        )
        yield f"  {self._in_words()}"
        yield (
            f"  a good image scores about {good['median']:.4g}: half of them lie below, 9 of 10 below"
            f" {good['90 %']:.4g}, the highest has {good['highest']:.4g}"
        )
        yield ""
        yield from self._where()
        if self.parts is not None:
            yield ""
            how = _JOINS[self.parts.how]
            yield f"what makes the score, as their {how} (half of the good ones lie below 0, 99 % below 1)"
            for term in self.parts.terms:
                yield f"  {term.value:8.3g}  {term.label}"
        if self.neighbors:
            yield ""
            yield "the most similar good images"
            for one in self.neighbors:
                name, status = printable(one.row.path), one.row.status.value
                yield f"  {one.row.score:8.4g}  {status:9}  {name}, {one.distance:.1f} gray levels off"

    def _in_words(self) -> str:
        held_out, share = self.detector.metadata.calibration, self.row.p_value or 0.0
        p = f"p = {share:.3g}"
        if held_out.groups is not None:
            return f"as odd as {100 * share:.3g} % of good parts ({p}, {held_out.parts()} parts)"
        high = self.beyond()
        return f"{high or 'none'} of {len(held_out.scores)} good images scored as high ({p})"

    def _where(self) -> Iterator[str]:
        limit, heat = self.detector.heat_threshold(self.rate), self.look.placed.heatmap
        usual = self.detector.heat_range(self.rate)[0]
        yield f"where: the hottest place of a usual good image has {usual:.4g}, and the limit is {limit:.4g}"
        for region in self.regions[:_MOST_REGIONS]:
            left, upper, right, lower = region.box
            yield f"  {region.peak:8.4g}  x {left} to {right}, y {upper} to {lower} px"
        if more := len(self.regions[_MOST_REGIONS:]):
            yield f"  and {more} more"
        if not self.regions:
            yield f"  nowhere above it; the hottest place has {heat.max():.4g}"


_JOINS = {"mean": "mean", "max": "largest"}
