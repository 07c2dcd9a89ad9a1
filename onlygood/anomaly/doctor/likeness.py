"""Images that are nearly the same: taken twice, or few parts taken many times."""

from collections.abc import Iterator

from onlygood.anomaly.data.groups import propose, relative
from onlygood.anomaly.doctor.findings import Finding, Material
from onlygood.anomaly.looks import Likeness


def examine_likeness(material: Material, sides: dict[int, str]) -> Iterator[Finding]:
    """Findings about images that are too alike; ``sides`` says where `fit` would put each image."""
    names = any(sample.group for sample in material.good.samples)
    proposal = None if names else propose(relative(material.good))
    if proposal is not None:
        yield Finding(
            "parts",
            "warning",
            f"file names look like {proposal.parts} parts of about {proposal.images / proposal.parts:.0f} "
            "images",
            "images of one part on both sides of the split make the threshold too low: the promised rate "
            "then holds for parts that the model has seen, not for new ones",
            f"if they are, give fit --groups '{proposal.pattern}'",
        )
    likeness = Likeness.of(material.thumbs)
    if likeness is None:
        return
    yield from _near(material, likeness, sides, named=names)
    if proposal is None and not names:
        yield from _repeats(likeness)


def _near(material: Material, likeness: Likeness, sides: dict[int, str], *, named: bool) -> Iterator[Finding]:
    several = [material.looked_at[places].tolist() for places in likeness.several()]
    if not several:
        return
    near = [i for members in several for i in members]
    split = sum(len({sides.get(i) for i in members} - {None}) > 1 for members in several)
    apart = f"; {split} of these groups would lie on both sides of the split" if sides else ""
    yield Finding(
        "near-duplicates",
        "warning",
        f"{len(near)} images are nearly the same as another one, in {len(several)} groups{apart}",
        "what is calibrated on must be as new to the model as the next part is; near-copies of training "
        "images get low scores, the threshold falls with them, and there are more false alarms than "
        "promised",
        "keep one of each group, or name the part in a list's column or by --groups"
        + (" (the groups that are named do not keep these together)" if named and split else ""),
        material.names(near),
        len(near),
    )


def _repeats(likeness: Likeness) -> Iterator[Finding]:
    if likeness.sequence:
        yield Finding(
            "sequence",
            "warning",
            f"of {likeness.in_turn:.0%} of the images the most similar one is next to them by name "
            f"({likeness.chance:.0%} by chance)",
            "frames of a film or repeated shots of a part are one observation, however many there are: the "
            "split tears them apart, and the promise holds for what has been seen",
            "name what belongs together by --groups, or take every tenth frame",
        )
    if likeness.repeated:
        yield Finding(
            "few looks",
            "warning",
            f"{len(likeness.look)} images show only {likeness.looks} different looks",
            "few parts photographed many times teach how these parts look, not how good parts look",
            "photograph more parts, and name the part of each image by --groups",
        )
