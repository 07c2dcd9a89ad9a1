"""For an unknown name, the nearest known one."""

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str], *, likeness: float = 0.6) -> str:
    """``did you mean 'simclr'?``, or ``there are a, b`` if no name reaches ``likeness`` (0 to 1)."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=likeness)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}"
