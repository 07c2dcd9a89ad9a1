"""Things by name: our own, and those that other packages bring.

A package announces a thing as an entry point of the group that the registry names::

    [project.entry-points."onlygood.tasks"]
    my-task = "my_package.entries:MY_TASK"

The entry point's name is the thing's name. It loads to an `Entry`, ours are entries too, and what an entry
names is imported when it is made: so a list of all things imports none of them.
"""

import importlib
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.nearest import nearest


@dataclass(frozen=True)
class Entry:
    """Where a thing is, as ``module:name``."""

    where: str

    def load(self, suffix: str = "") -> Any:
        """Import the module and give the name, or the name with a suffix."""
        module, _, name = self.where.partition(":")
        return getattr(importlib.import_module(module), name + suffix)


E = TypeVar("E", bound=Entry)


class Registry(Mapping[str, E], Generic[E]):
    """Entries by name; names of our own come first and cannot be replaced.

    Args:
        group: entry points to look for.
        what: an entry in words, such as "pretext task".
        own: our own entries, of one class; those of other packages must be of it too.
    """

    def __init__(self, group: str, what: str, own: Mapping[str, E]) -> None:
        self.group = group
        self.what = what
        self._own = own

    def find(self, name: str) -> E:
        """The entry of a name.

        Raises:
            OnlygoodError: there is none, and the nearest is named; or it cannot be loaded.
        """
        if name not in self:
            raise OnlygoodError(f"no {self.what} {name!r}; {nearest(name, self)}")
        return self[name]

    def __getitem__(self, name: str) -> E:
        return self._own[name] if name in self._own else self._load(self._others[name])

    def __iter__(self) -> Iterator[str]:
        yield from self._own
        yield from self._others

    def __len__(self) -> int:
        return len(self._own) + len(self._others)

    def __contains__(self, name: object) -> bool:
        return name in self._own or name in self._others

    @cached_property
    def _others(self) -> dict[str, EntryPoint]:
        """Entry points of other packages, not yet loaded."""
        found: dict[str, EntryPoint] = {}
        for point in sorted(entry_points(group=self.group), key=lambda point: (point.name, point.value)):
            if point.name in self._own or found.setdefault(point.name, point) != point:
                warnings.warn(
                    f"{_package(point)} brings a {self.what} {point.name!r}, which is there already; "
                    "it is left out",
                    stacklevel=2,
                )
        return found

    def _load(self, point: EntryPoint) -> E:
        kind = type(next(iter(self._own.values())))
        try:
            entry = point.load()
        except Exception as error:  # another package's code may raise anything
            reason = f"{type(error).__name__}: {error}"
            raise OnlygoodError(
                f"{self.what} {point.name!r} of {_package(point)} cannot be loaded: {reason}"
            ) from error
        if not isinstance(entry, kind):
            raise OnlygoodError(
                f"{self.what} {point.name!r} of {_package(point)}: {point.value} is no {kind.__name__}"
            )
        return entry


def _package(point: EntryPoint) -> str:
    return f"package {point.dist.name!r}" if point.dist is not None else f"{point.value!r}"
