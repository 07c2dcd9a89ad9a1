"""`onlygood doctor`: what is wrong with good images, or with the network that would learn from them."""

import json
from textwrap import indent, wrap

import typer

from onlygood.anomaly.auto import resolve_recipe
from onlygood.anomaly.data.attention import Attention
from onlygood.anomaly.data.excluded import excluding
from onlygood.anomaly.data.groups import grouped
from onlygood.anomaly.doctor.examine import examine_data, gather_material
from onlygood.anomaly.doctor.findings import LEVELS, Finding, Material, worst
from onlygood.deploy.commands.common import (
    calm_openmp,
    good_images,
    recipe_changes,
    weight_files,
)
from onlygood.deploy.destination import check_output
from onlygood.deploy.messages import speaker
from onlygood.deploy.options.training import DoctorOptions
from onlygood.deploy.sources import at_hand
from onlygood.runtime.atomic import write_atomically
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.files import printable

_WIDTH = 100  # characters of a line
_SHOWN = 5  # files that are named in text; JSON names more


def run(options: DoctorOptions) -> int:
    """Print each finding, the gravest first; 2 if one is a problem, else 0."""
    calm_openmp()
    say = speaker(quiet=options.quiet)
    if options.sheet is not None and options.data_only:
        raise OnlygoodError("--sheet needs the network that --data-only leaves out: give one of them")
    good = good_images(at_hand(options.good_dir, say), all_good=options.all_good)
    changes = recipe_changes(options.seed, options.overrides, options.encoder, options.encoder_weights)
    recipe, choice = resolve_recipe(options.recipe, good, changes)
    attention = Attention(options.roi, options.ignore)
    if options.sheet is not None:
        read = [sample.path for sample in good.samples] + weight_files(recipe.encoder_weights)
        read += attention.files() + [path for path in (options.exclude,) if path]
        check_output(options.sheet, inputs=read, pictures=[".png"])
    if options.exclude is not None:
        good = excluding(good, options.exclude)
    if options.groups is not None:
        good = grouped(good, options.groups)
    say(f"found {good.description}")
    say(choice)
    material = gather_material(recipe, good, attention=attention, progress=not options.quiet)
    say(material.words)
    if material.store.inside is not None:
        say(f"{material.store.inside.mean():.0%} of each image is looked at")
    findings = list(examine_data(material, options.max_false_alarms))
    if not options.data_only:
        findings += _with_network(material, options)
    findings.sort(key=lambda finding: LEVELS.index(finding.level))
    if options.json:
        typer.echo(json.dumps(_as_json(material, findings, options), indent=2, allow_nan=False))
    else:
        for finding in findings:
            typer.echo(_in_words(finding))
        typer.echo(_summary(findings, len(material.store)))
    return 2 if worst(findings) == "problem" else 0


def _with_network(material: Material, options: DoctorOptions) -> list[Finding]:
    """What an untrained and a briefly trained network finds."""
    from onlygood.anomaly.doctor.outliers import contact_sheet, farthest, judged  # noqa: PLC0415
    from onlygood.anomaly.doctor.training import examine_training  # noqa: PLC0415

    seen = judged(material)
    if options.sheet is not None:
        write_atomically(options.sheet, contact_sheet(material, farthest(seen)))
        typer.echo(f"wrote {printable(options.sheet)}", err=True)
    return list(examine_training(material, seen))


def _in_words(finding: Finding) -> str:
    """A finding as a paragraph."""
    lines = [f"{finding.level.upper()}  {finding.check}"]
    for title, text in (("seen", finding.seen), ("why", finding.why), ("do", finding.remedy)):
        wrapped = wrap(printable(text), _WIDTH - 10, break_long_words=False, break_on_hyphens=False)
        lines.append(f"  {title + ':':<6}" + "\n        ".join(wrapped))
    if finding.files:
        lines.append(indent("\n".join(finding.files[:_SHOWN]), "        "))
        if (more := finding.count - _SHOWN) > 0:
            lines.append(f"        and {more} more")
    return "\n".join(lines) + "\n"


def _summary(findings: list[Finding], images: int) -> str:
    counts = {level: sum(finding.level == level for finding in findings) for level in LEVELS}
    said = ", ".join(f"{count} {level}{'s' * (count != 1)}" for level, count in counts.items() if count)
    return f"{images} images: {said or 'nothing found'}"


def _as_json(material: Material, findings: list[Finding], options: DoctorOptions) -> dict[str, object]:
    return {
        "images": len(material.store),
        "unreadable": len(material.store.bad),
        "recipe": material.recipe.name,
        "network": not options.data_only,
        "worst": worst(findings),
        "findings": [finding.as_dict() for finding in findings],
    }
