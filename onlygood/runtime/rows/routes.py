"""Which of several models judges an image."""

import csv
import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.files import as_on_disk, display, printable
from onlygood.runtime.images.remote import Place, Remote, url_of, without_secrets
from onlygood.runtime.nearest import nearest


class ByFolder:
    """The model that is called as the nearest folder above the image that is called as a model."""

    why = "no folder above it is called as a model"

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(names)

    def name(self, place: Place) -> str | None:
        """The name of the model, or None."""
        path = PurePosixPath(str(place)) if isinstance(place, Remote) else Path(place).absolute()
        return next((folder.name for folder in path.parents if folder.name in self._names), None)


class ByList:
    """The model that a CSV list with the columns ``path`` and ``model`` names.

    Paths are relative to the list, or URLs.

    Raises:
        OnlygoodError: it is no such list, names a model that is not there, or two for one image.
    """

    def __init__(self, path: Path, names: Iterable[str]) -> None:
        known = sorted(names)
        self._names: dict[str, str] = {}
        self.why = f"{display(path)} does not name it"
        try:
            with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
                rows = csv.DictReader(file)
                if not {"path", "model"} <= set(rows.fieldnames or ()):
                    raise OnlygoodError(f"{display(path)}: no list with the columns path and model")
                for row in rows:
                    image, name = row["path"] or "", (row["model"] or "").removesuffix(".onnx")
                    if name not in known:
                        raise OnlygoodError(
                            f"{display(path)}, line {rows.line_num}: there is no model {printable(name)!r};"
                            f" {nearest(name, known)}"
                        )
                    if self._names.setdefault(_key(image, path.parent), name) != name:
                        raise OnlygoodError(
                            f"{display(path)}, line {rows.line_num}: {printable(image)} had another model"
                        )
        except (OSError, csv.Error) as error:
            raise OnlygoodError(f"{display(path)}: {getattr(error, 'strerror', None) or error}") from None

    def name(self, place: Place) -> str | None:
        """The name of the model, or None."""
        return self._names.get(str(place) if isinstance(place, Remote) else _absolute(place))


Routes = ByFolder | ByList


def _key(image: str, folder: Path) -> str:
    if (url := url_of(image)) is not None:
        return without_secrets(url)
    return _absolute(as_on_disk(folder / image))


def _absolute(path: Path) -> str:
    """Without ``..``, but links stay: they are named as they are."""
    return os.path.abspath(path)  # noqa: PTH100 - Path.resolve follows links
