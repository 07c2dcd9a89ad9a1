"""What `serve` takes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Option

from onlygood.deploy.options.shared import (
    AnyFrame,
    BitDepth,
    Key,
    MaxMemory,
    MaxPixels,
    Models,
    Options,
    Provider,
    Quiet,
    Rate,
    Threads,
    Workers,
    number,
)


@dataclass(frozen=True, kw_only=True)
class ServeOptions(Options):
    """Answer HTTP: images are posted to /score, and their verdicts come back."""

    models: Models
    host: Annotated[str, Option("--host", help="Address to listen on; 0.0.0.0 lets other machines in.")] = (
        "127.0.0.1"
    )
    port: Annotated[
        int, Option("--port", min=0, max=65535, help="Port; 0 takes a free one and says which.")
    ] = 8000
    token_file: Annotated[
        Path | None,
        Option("--token-file", metavar="FILE", help="Holds the token that requests must bear."),
    ] = None
    queue: Annotated[
        int,
        Option("--queue", min=0, max=100_000, help="Requests that may wait; more are answered by 429."),
    ] = 32
    workers: Workers = None
    max_request: Annotated[
        int, Option("--max-request", min=1, max=100_000, metavar="MB", help="Refuse larger requests.")
    ] = 32
    max_images: Annotated[
        int, Option("--max-images", min=1, max=10_000, help="Refuse forms with more files.")
    ] = 64
    timeout: Annotated[
        float,
        Option(
            "--timeout",
            metavar="SECONDS",
            callback=number(above=0, most=86400),
            help="Longest time from a request to its answer.",
        ),
    ] = 30.0
    drain: Annotated[
        float,
        Option(
            "--drain",
            metavar="SECONDS",
            callback=number(above=-1e-9, most=86400),
            help="After SIGTERM go on for so long, with /readyz saying no, until balancers look elsewhere.",
        ),
    ] = 0.5
    reload_every: Annotated[
        float,
        Option(
            "--reload-every",
            metavar="SECONDS",
            callback=number(above=0, most=86400),
            help="Look so often whether a model file has changed; SIGHUP looks at once.",
        ),
    ] = 1.0
    max_false_alarms: Rate = None
    max_pixels: MaxPixels = None
    max_memory: MaxMemory = None
    bit_depth: BitDepth = None
    threads: Threads = None
    provider: Provider = None
    any_frame: AnyFrame = False
    key: Key = None
    quiet: Quiet = False
