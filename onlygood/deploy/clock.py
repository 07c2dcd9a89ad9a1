"""The time in files: where SOURCE_DATE_EPOCH is set, a second run writes the same bytes."""

import os
from collections.abc import Mapping
from typing import Any

from onlygood.runtime.errors import OnlygoodError

_BY_THE_CLOCK = frozenset({"seconds", "cpu_seconds", "images_per_second", "data_wait"})
_LAST_MOMENT = 253_402_300_799  # the end of the year 9999


def source_date() -> int | None:
    """Seconds since 1970 that SOURCE_DATE_EPOCH gives, to be written as the time of making; None if unset.

    Raises:
        OnlygoodError: it is not such a number.
    """
    text = os.environ.get("SOURCE_DATE_EPOCH")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and int(text) <= _LAST_MOMENT):
        raise OnlygoodError(
            f"SOURCE_DATE_EPOCH={text!r} is no date: give the seconds since 1970, or unset it"
        )
    return int(text)


def without_times(values: Mapping[str, Any]) -> dict[str, Any]:
    """``values`` without what a clock measures, at any depth."""
    return {
        key: without_times(value) if isinstance(value, Mapping) else value
        for key, value in values.items()
        if key not in _BY_THE_CLOCK
    }
