"""`onlygood watch`: images that come into a folder, each judged once; `runtime/watch` does the work."""

import contextlib
import signal
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from onlygood.deploy.destination import check_output
from onlygood.deploy.judging import chosen_threshold, drift_monitor, input_spec, open_model
from onlygood.deploy.messages import speaker
from onlygood.deploy.options.watch import Send, WatchOptions
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.files import display, printable
from onlygood.runtime.images.memory import Budget
from onlygood.runtime.images.reader import DEFAULT_MAX_PIXELS, ReadOptions
from onlygood.runtime.rows.drift import look_at
from onlygood.runtime.rows.stream import score_images
from onlygood.runtime.rows.verdicts import Row, Settings, Status
from onlygood.runtime.watch.command import Command
from onlygood.runtime.watch.courier import Courier, Receiver
from onlygood.runtime.watch.drifting import Drift
from onlygood.runtime.watch.events import Events
from onlygood.runtime.watch.folder import Folder
from onlygood.runtime.watch.gauges import MetricsFile
from onlygood.runtime.watch.journal import Journal
from onlygood.runtime.watch.moving import Moves
from onlygood.runtime.watch.mqtt import Mqtt
from onlygood.runtime.watch.service import Service
from onlygood.runtime.watch.state import Entry, State, Unsaved
from onlygood.runtime.watch.watcher import Judge, Rows, Wake, Watcher
from onlygood.runtime.watch.webhook import Webhook, read_secret

_LAST_WORDS = 5.0  # seconds that receivers have for what is on its way when the watch ends
_LARGEST_SECRET = 4096  # bytes


def run(options: WatchOptions) -> int:
    """Watch until a signal comes, or with ``--once`` until all is judged; returns the exit code."""
    _check(options)
    speak = speaker(quiet=options.quiet)
    detector, use = open_model(options, speak)
    threshold = chosen_threshold(detector, options.threshold, options.max_false_alarms)
    spec = input_spec(detector, options.bit_depth)
    settings = Settings(detector.file.sha256[:12], threshold, spec.bit_depth, options.any_frame)
    reader = ReadOptions(options.max_pixels or DEFAULT_MAX_PIXELS, Budget.of(options.max_memory))

    def say(words: str) -> None:
        speak(printable(words))  # names of files may hold anything

    def judge(paths: Sequence[Path]) -> Generator[Row, None, None]:
        return score_images(
            detector,
            paths,
            threshold,
            spec=spec,
            options=reader,
            workers=use.workers,
            any_frame=options.any_frame,
            also=[look_at] if options.drift else [],
        )

    with State(options.state) as state, ExitStack() as stack:
        watcher = _watcher(options, state, judge, settings, say)
        if options.drift:
            monitor = drift_monitor(detector, threshold, options.drift_flagged, say)
            made_with = f"{settings.model} {threshold!r} {options.drift_flagged!r}"
            watcher.drift = Drift(monitor, state, made_with)
        service = Service()
        watcher.each_turn = [lambda watcher: service.tell("WATCHDOG=1", f"STATUS={_summary(watcher)}")]
        if options.metrics_file is not None:
            metrics = MetricsFile(options.metrics_file, detector.metadata.name)
            watcher.each_turn += [metrics]
            stack.callback(lambda: metrics(watcher, now=True))
        if not options.once:
            _start_events(options, watcher.wake, stack, say)
            where = "" if options.output is None else f"; verdicts go to {display(options.output)}"
            say(f"watching {display(options.folder)}{where}; Ctrl-C ends it")
        _say_what_waits(watcher, say)
        signals = stack.enter_context(_stopping(watcher.wake))
        service.tell("READY=1")
        try:
            watcher.run(once=options.once)
        finally:
            service.tell("STOPPING=1")
            _end(watcher, say)
        say(_summary(watcher))
        if signals:
            return 128 + signals[0]
        return _exit_code(watcher) if options.once else 0


# --- what was typed


def _check(options: WatchOptions) -> None:
    """Refuse what cannot work, before the model is loaded.

    Raises:
        OnlygoodError: what, and what to do.
    """
    if not options.folder.is_dir():
        raise OnlygoodError(f"{display(options.folder)} is no folder: make it first, or name another")
    for name, given in (("--webhook", options.webhook), ("--mqtt", options.mqtt)):
        if given is not None and options.state is None:
            raise OnlygoodError(
                f"{name} wants --state FILE: what is not sent yet waits there, also for a restart"
            )
    if (options.webhook is None) != (options.webhook_secret is None):
        raise OnlygoodError(
            "--webhook and --webhook-secret FILE go together: the receiver must be able to tell who sends;"
            " make a secret with: openssl rand -base64 32 > FILE"
        )
    if options.mqtt_password is not None and options.mqtt is None:
        raise OnlygoodError("--mqtt-password is for --mqtt, which was not given")
    for path in (options.state, options.output, options.metrics_file):
        if path is not None:
            check_output(path, inputs=[options.model])
    if options.move_flagged is not None:
        flagged, folder = options.move_flagged.resolve(), options.folder.resolve()
        if flagged == folder or flagged in folder.parents:
            raise OnlygoodError(
                "--move-flagged: give a folder other than the one that is watched or one above it"
            )


def _read_line(path: Path, what: str) -> str:
    """A secret from a file.

    Raises:
        OnlygoodError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST_SECRET).decode().strip()
    except OSError as error:
        raise OnlygoodError(f"{display(path)}: {what} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise OnlygoodError(f"{display(path)}: {what} is no text") from None


def _receivers(options: WatchOptions, state: State) -> Iterator[Receiver]:
    if options.exec is not None:
        yield Command(options.exec)
    if options.webhook is not None and options.webhook_secret is not None:
        yield Webhook(options.webhook, read_secret(_read_line(options.webhook_secret, "the secret")))
    if options.mqtt is not None:
        password = options.mqtt_password and _read_line(options.mqtt_password, "the password")
        yield Mqtt(options.mqtt, f"onlygood-{state.id}", password or None)


def _watcher(
    options: WatchOptions, state: State, judge: Judge, settings: Settings, say: Callable[[str], None]
) -> Watcher:
    receivers, wake = list(_receivers(options, state)), Wake()
    rows: Rows = _Printed() if options.output is None else Journal(options.output, state)
    moves = None if options.move_flagged is None else Moves(options.folder, options.move_flagged)
    return Watcher(
        folder=Folder(
            options.folder,
            state.knows,
            settle=options.settle,
            recursive=not options.no_recursive,
            exclude=tuple(options.exclude or ()),
            outside=options.move_flagged,
        ),
        state=state,
        judge=judge,
        settings=settings,
        rows=rows,
        couriers=[Courier(receiver, state, wake.up, say) for receiver in receivers],
        moves=moves,
        flagged_only=options.send is Send.FLAGGED,
        poll=options.poll,
        wake=wake,
        say=say,
    )


class _Printed:
    """Rows on stdout."""

    def __init__(self) -> None:
        self._torn = ""

    def write(self, entries: Sequence[Entry]) -> None:
        """Print rows; where a full disk tore one, the next begins on a line of its own."""
        text = self._torn + "".join(entry.body + "\n" for entry in entries)
        self._torn = "\n"
        sys.stdout.write(text)
        sys.stdout.flush()
        self._torn = ""


# --- beginning and end


def _start_events(options: WatchOptions, wake: Wake, stack: ExitStack, say: Callable[[str], None]) -> None:
    if options.no_events:
        return
    try:
        events = Events(options.folder, wake.touched, recursive=not options.no_recursive)
    except OSError as error:
        say(f"no events of the file system ({error.strerror or error}): looking every {options.poll:g} s")
        return
    stack.callback(events.close)


@contextmanager
def _stopping(wake: Wake) -> Iterator[list[int]]:
    """Let the first signal end the loop, and the second the process; yields the signals that came."""
    came: list[int] = []
    before: dict[int, Any] = {}

    def stop(number: int, frame: FrameType | None) -> None:
        came.append(number)
        wake.stop()
        signal.signal(number, before[number])

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) not in (signal.SIG_IGN, None):
            before[int(number)] = signal.getsignal(number)
            with contextlib.suppress(ValueError):  # not the main thread: a test, or an embedding program
                signal.signal(number, stop)
    try:
        yield came
    finally:
        for number, handler in before.items():
            with contextlib.suppress(ValueError):
                signal.signal(number, handler)


def _end(watcher: Watcher, say: Callable[[str], None]) -> None:
    """Let receivers finish what is on its way."""
    for courier in watcher.couriers:
        try:
            courier.close(_LAST_WORDS)
        except Unsaved as error:
            say(f"{error}; {courier.name} may get its last verdicts twice, with the same ids")


def _say_what_waits(watcher: Watcher, say: Callable[[str], None]) -> None:
    """Say if the state holds verdicts for receivers that were not given this time."""
    given = {"rows", *(["move"] if watcher.moves else []), *(courier.name for courier in watcher.couriers)}
    for name, (waiting, _) in watcher.state.queued().items():
        if name not in given:
            option = "--move-flagged" if name == "move" else f"--{name}"
            say(f"for {option}, which was not given, wait verdicts of an earlier run: {waiting}")


def _summary(watcher: Watcher) -> str:
    done, queued = watcher.tally.verdicts, watcher.state.queued()
    judged = sum(done.values())
    words = [f"{judged} {'image' if judged == 1 else 'images'} judged"]
    words += [f"{count} {status}" for status, count in done.items() if count and status is not Status.NORMAL]
    words += [f"for {name} wait {sum(counts)}" for name, counts in queued.items() if sum(counts)]
    if left := len(watcher.folder):
        words.append(f"{left} left for the next run: still being written, or not looked at yet")
    return ", ".join(words)


def _exit_code(watcher: Watcher) -> int:
    """2 if an image could not be judged or a receiver was not told, else 0: as `score` has it."""
    unjudged = watcher.tally.verdicts[Status.ERROR] + watcher.tally.verdicts[Status.UNUSABLE]
    return 2 if unjudged or any(sum(counts) for counts in watcher.state.queued().values()) else 0
