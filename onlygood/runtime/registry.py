"""Registries: tasks, heads, encoders and recipes by name, our own and those of other packages.

A package adds one by an entry point in the group of the registry::

    [project.entry-points."onlygood.tasks"]
    my-task = "my_package.entries:MY_TASK"

The name of the entry point is the name in the registry. The entry point loads to an `Entry`; our own are
entries too. The class or function that an entry names is imported only when it is used, so that listing a
registry imports none of them.
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
    """Where a class or function is, as ``module:name``."""

    where: str

    def load(self, suffix: str = "") -> Any:
        """Import the module and return what has the name, or the name with ``suffix`` appended."""
        module, _, name = self.where.partition(":")
        return getattr(importlib.import_module(module), name + suffix)


E = TypeVar("E", bound=Entry)


class Registry(Mapping[str, E], Generic[E]):
    """Entries by name; our own come first and cannot be replaced.

    Args:
        group: the group of entry points that other packages use.
        what: the word for an entry in messages, such as "pretext task".
        own: our own entries, all of one class; entries of other packages must be of this class too.
    """

    def __init__(self, group: str, what: str, own: Mapping[str, E]) -> None:
        self.group = group
        self.what = what
        self._own = own

    def find(self, name: str) -> E:
        """The entry of a name.

        Raises:
            OnlygoodError: there is none (the message names the nearest), or it cannot be loaded.
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
