"""JSON as RFC 8259 has it: no NaN and no Infinity, neither written nor read."""

import json
import math
from collections import Counter
from typing import Any, NoReturn


def dumps(value: Any, *, indent: int | None = None, ascii: bool = True) -> str:
    """``value`` as JSON text; a float that is no finite number becomes null."""
    return json.dumps(_finite(value), indent=indent, ensure_ascii=ascii, allow_nan=False)


def _finite(value: Any) -> Any:
    """The same value with None for NaN and infinities, at any depth."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value


def loads(text: str | bytes) -> Any:
    """The value of JSON text.

    Raises:
        ValueError: it is not JSON, holds a number too large for a float, has a key twice, nests too deeply,
            or holds text that UTF-8 cannot encode.
    """
    try:
        value = json.loads(
            text, parse_constant=_refuse, parse_float=_parse_float, object_pairs_hook=_parse_object
        )
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()  # finds half a surrogate pair
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a finite number")


def _parse_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is too large a number")
    return value


def _parse_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        times = Counter(key for key, _ in pairs)
        twice = next(key for key, count in times.items() if count > 1)
        raise ValueError(f"the key {twice[:40]!r} stands twice")
    return found
