"""What `watch` takes."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from onlygood.deploy.options.shared import (
    AnyFrame,
    AppendedRows,
    BitDepth,
    Drift,
    DriftFlagged,
    Exclude,
    Key,
    MaxMemory,
    MaxPixels,
    Model,
    NoRecursive,
    Options,
    Provider,
    Quiet,
    Rate,
    Sha256,
    Threads,
    Threshold,
    Tuned,
    Workers,
    number,
)

_LONGEST = 86400.0  # seconds


class Send(StrEnum):
    """Which verdicts are sent; ``flagged`` are anomalous, unusable and unreadable images."""

    ALL = "all"
    FLAGGED = "flagged"


@dataclass(frozen=True, kw_only=True)
class WatchOptions(Options):
    """Judge images as they come into a folder: one JSON row each, once, whatever happens meanwhile."""

    model: Model
    folder: Annotated[Path, Argument(metavar="DIR", help="Folder that images come into.")]
    once: Annotated[bool, Option("--once", help="Judge what is there, tell of it, and leave.")] = False
    state: Annotated[
        Path | None,
        Option(
            "--state",
            metavar="FILE",
            help="Keep here what was judged and what is still to be sent (SQLite): each file once.",
        ),
    ] = None
    output: AppendedRows = None
    settle: Annotated[
        float,
        Option(
            "--settle",
            metavar="SECONDS",
            callback=number(above=-1e-9, most=_LONGEST),
            help="Judge a file once it has not changed for so long.",
        ),
    ] = 1.0
    poll: Annotated[
        float,
        Option(
            "--poll",
            metavar="SECONDS",
            callback=number(above=0, most=_LONGEST),
            help="Look at the whole folder so often, whatever events say.",
        ),
    ] = 5.0
    no_events: Annotated[
        bool, Option("--no-events", help="Only look (--poll): for network shares, whose events do not come.")
    ] = False
    exec: Annotated[
        str | None,
        Option(
            "--exec",
            metavar="CMD",
            help="Run this for each verdict, without a shell; {path} {status} {score} {p_value} {id} are"
            " filled in, the row as JSON is on its stdin.",
        ),
    ] = None
    webhook: Annotated[
        str | None, Option("--webhook", metavar="URL", help="Post each verdict here, signed and retried.")
    ] = None
    webhook_secret: Annotated[
        Path | None,
        Option("--webhook-secret", metavar="FILE", help="Holds the secret that webhooks are signed with."),
    ] = None
    mqtt: Annotated[
        str | None,
        Option("--mqtt", metavar="URL", help="Publish each verdict: mqtt://[USER@]HOST[:PORT]/TOPIC."),
    ] = None
    mqtt_password: Annotated[
        Path | None, Option("--mqtt-password", metavar="FILE", help="Holds the password of the MQTT user.")
    ] = None
    send: Annotated[Send, Option("--send", help="Which verdicts go to --exec, --webhook and --mqtt.")] = (
        Send.ALL
    )
    move_flagged: Annotated[
        Path | None,
        Option("--move-flagged", metavar="DIR", help="Move anomalous and unusable images here."),
    ] = None
    metrics_file: Annotated[
        Path | None,
        Option(
            "--metrics-file", metavar="FILE", help="Write numbers for Prometheus here, every few seconds."
        ),
    ] = None
    threshold: Threshold = None
    max_false_alarms: Rate = None
    no_recursive: NoRecursive = False
    exclude: Exclude = None
    max_pixels: MaxPixels = None
    max_memory: MaxMemory = None
    bit_depth: BitDepth = None
    workers: Workers = None
    threads: Threads = None
    provider: Provider = None
    tuned: Tuned = None
    any_frame: AnyFrame = False
    drift: Drift = False
    drift_flagged: DriftFlagged = 0.1
    sha256: Sha256 = None
    key: Key = None
    quiet: Quiet = False
