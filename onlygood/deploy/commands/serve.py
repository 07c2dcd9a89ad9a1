"""`onlygood serve`: detectors behind a port; `deploy/serve` does the work."""

import ipaddress
from pathlib import Path

from onlygood.deploy.messages import speaker
from onlygood.deploy.options.serve import ServeOptions
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.files import display
from onlygood.runtime.images.memory import Budget
from onlygood.runtime.images.reader import DEFAULT_MAX_PIXELS, ReadOptions
from onlygood.runtime.threads import available_cpus

_LARGEST_TOKEN = 4096  # bytes
_SHORTEST_TOKEN = 16  # characters


def run(options: ServeOptions) -> int:
    """Serve until a signal comes; what the server then raises becomes the exit code."""
    token = None if options.token_file is None else _read_token(options.token_file)
    try:
        from onlygood.deploy.serve import app, desk, log, models, server  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("onlygood"):
            raise
        raise OnlygoodError(
            f"`onlygood serve` needs the package {error.name!r}: pip install 'onlygood[serve]'"
        ) from None
    load = models.loader(
        threads=options.threads or 1,
        provider=options.provider or "cpu",
        rate=options.max_false_alarms,
        bit_depth=options.bit_depth,
        any_frame=options.any_frame,
        key=options.key,
    )
    served = models.Models(options.models, load)
    written = log.Log(quiet=options.quiet)
    log.log_of_libraries(written)
    workers, max_bytes = options.workers or available_cpus(), options.max_request * 10**6
    service = app.Service(
        served,
        desk.Desk(workers, options.queue),
        reader=ReadOptions(options.max_pixels or DEFAULT_MAX_PIXELS, Budget.of(options.max_memory)),
        seconds=options.timeout,
        most_images=options.max_images,
        log=written,
    )
    application = app.app(
        service, token=token, max_bytes=max_bytes, lifespan=server.Lifespan(service, options.reload_every)
    )
    listener = server.listen(options.host, options.port)
    say = speaker(quiet=options.quiet)
    if token is None and not _loopback(listener.getsockname()[0]):
        say("anybody who reaches this port is answered: --token-file FILE asks for a token")
    names = ", ".join(model.name for model in served.all())
    written("listening", url=server.address(listener), models=names, workers=workers)
    server.Server(application, service, drain=options.drain, seconds=options.timeout).run([listener])
    return 0


def _read_token(path: Path) -> str:
    """The token in a file.

    Raises:
        OnlygoodError: there is none, or a short one.
    """
    try:
        with path.open("rb") as file:
            token = file.read(_LARGEST_TOKEN).decode("ascii").strip()
    except OSError as error:
        raise OnlygoodError(f"{display(path)}: the token cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise OnlygoodError(f"{display(path)}: the token is no ASCII text") from None
    if len(token) < _SHORTEST_TOKEN or len(token.split()) != 1:
        raise OnlygoodError(
            f"{display(path)} holds no token of {_SHORTEST_TOKEN} characters or more without blanks; make one"
            " with: openssl rand -hex 32 > FILE"
        )
    return token


def _loopback(host: str) -> bool:
    return ipaddress.ip_address(host).is_loopback
