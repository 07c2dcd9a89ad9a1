"""A name that is not there, and the nearest one that is."""

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str], *, likeness: float = 0.6) -> str:
    """``did you mean 'simclr'?``, or ``there are a, b`` where none is like it enough (0 to 1)."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=likeness)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}"
