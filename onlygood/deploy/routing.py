"""`--route`: a folder of models, of which each image has its own."""

from collections import OrderedDict
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Lock

from onlygood.deploy.heatmaps import SIDE, Heatmaps
from onlygood.deploy.judges import Judges, Rows, looks_of, reader_of
from onlygood.deploy.judging import input_spec
from onlygood.deploy.messages import Messages
from onlygood.deploy.options.rows import ScoreOptions
from onlygood.deploy.options.shared import Engine
from onlygood.runtime.ahead import map_ahead
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.files import display
from onlygood.runtime.images.remote import Place
from onlygood.runtime.model.detector import Detector
from onlygood.runtime.model.modelfile import load_model
from onlygood.runtime.rows.routes import ByFolder, ByList
from onlygood.runtime.rows.stream import row_of
from onlygood.runtime.rows.verdicts import Row, Settings, Stamp, Status
from onlygood.runtime.threads import available_cpus

_KEPT = 32  # models in memory at once, of some tens of MB each


def check_routable(options: ScoreOptions) -> None:
    """Refuse what is said of one model.

    Raises:
        OnlygoodError: which option does not go with --route.
    """
    given = {
        "--threshold": options.threshold is not None,
        "--sha256": options.sha256 is not None,
        "--tuned": options.tuned is not None,
        "--parts": options.parts is not None,
        "--tile": options.tile is not None,
        "--roi": options.roi is not None,
        "--ignore": options.ignore is not None,
        "--drift": options.drift,
        "--engine ray": options.engine is Engine.RAY,
    }
    if wrong := [name for name, there in given.items() if there]:
        raise OnlygoodError(f"{wrong[0]} is said of one model, and --route chooses among several")


def routed(options: ScoreOptions, say: Messages) -> Judges:
    """The models in the folder ``options.model``, each for the images that ``--route`` gives it.

    Raises:
        OnlygoodError: there are no models, or the list is none.
    """
    if not options.model.is_dir():
        raise OnlygoodError(
            f"--route chooses among models: {display(options.model)} must be a folder of them"
        )
    models = {path.stem: path for path in sorted(options.model.glob("*.onnx")) if path.is_file()}
    if not models:
        raise OnlygoodError(f"{display(options.model)} holds no models (.onnx)")
    routes = ByFolder(models) if options.route == "folder" else ByList(Path(str(options.route)), models)
    say.detail(f"{len(models)} models, of which at most {_KEPT} are in memory")
    bench = _Bench(options, models, routes)
    return Judges(bench.rows, None, bench.settings_of, bench.lacks_heatmap)


@dataclass(frozen=True)
class _Judge:
    row: partial[Row]
    settings: Settings
    heatmaps: Heatmaps | None


class _Bench:
    """Models in memory: those that were asked last."""

    def __init__(self, options: ScoreOptions, models: dict[str, Path], routes: ByFolder | ByList) -> None:
        self._options, self._models, self._routes = options, models, routes
        self._reader = reader_of(options)
        self._kept: OrderedDict[str, _Judge] = OrderedDict()
        self._settings: dict[str, Settings] = {}
        self._lock = Lock()

    def rows(self, paths: Iterable[Place]) -> Rows:
        with closing(map_ahead(self._row, paths, workers=self._options.workers or available_cpus())) as rows:
            yield from rows

    def settings_of(self, path: Place) -> Settings | None:
        name = self._routes.name(path)
        if name is None:
            return None
        return self._settings.get(name) or self._judge(name).settings

    def lacks_heatmap(self, path: Place, status: Status) -> bool:
        name = self._routes.name(path)
        if name is None or self._options.heatmaps is None:
            return False
        heatmaps = self._judge(name).heatmaps
        return heatmaps is not None and heatmaps.missing(path, status)

    def _row(self, path: Place) -> Row:
        name = self._routes.name(path)
        if name is None:
            why = f"there is no model for it: {self._routes.why}"
            return Row(path, Status.ERROR, None, error=why, stamp=Stamp.of(path))
        judge = self._judge(name)
        row = judge.row(path)
        return replace(row, extras={"product": name, **row.extras}, settings=judge.settings)

    def _judge(self, name: str) -> _Judge:
        """The model, loaded where it is not in memory, and then instead of the one asked longest ago."""
        with self._lock:
            if (judge := self._kept.get(name)) is None:
                judge = self._kept[name] = self._loaded(self._models[name])
                self._settings[name] = judge.settings
                if len(self._kept) > _KEPT:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(name)
            return judge

    def _loaded(self, path: Path) -> _Judge:
        options = self._options
        file = load_model(path, None, options.key)
        detector = Detector(file, threads=options.threads or 1, provider=options.provider or "cpu")
        spec, threshold = (
            input_spec(detector, options.bit_depth),
            detector.threshold(options.max_false_alarms),
        )
        also, heatmaps = looks_of(detector, options)
        row = partial(
            row_of,
            detector=detector,
            threshold=threshold,
            spec=spec,
            options=self._reader,
            any_frame=options.any_frame,
            also=also,
            preview=SIDE if heatmaps or options.preview else 0,
        )
        settings = Settings(file.sha256[:12], threshold, spec.bit_depth, options.any_frame)
        return _Judge(row, settings, heatmaps)
