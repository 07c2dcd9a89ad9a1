"""Results in the order of the items, a bounded number of calls ahead, and an end that waits for little."""

import threading
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onlygood.runtime.ahead import map_ahead


@settings(max_examples=30)
@given(st.lists(st.integers(), max_size=30), st.integers(1, 4), st.integers(0, 5))
def test_it_is_map(items: list[int], workers: int, ahead: int) -> None:
    assert list(map_ahead(str, items, workers=workers, ahead=ahead)) == [str(item) for item in items]


def test_items_are_taken_only_so_many_ahead() -> None:
    taken = []

    def items() -> count:  # type: ignore[type-arg]
        for item in count():
            taken.append(item)
            yield item

    results = map_ahead(lambda item: item, items(), workers=1, ahead=3)
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    assert taken == list(range(5 + 3))
    results.close()


def test_what_a_call_raises_is_raised_in_its_turn() -> None:
    results = map_ahead(lambda item: 1 // item, [1, 1, 0, 1], workers=2)
    assert [next(results), next(results)] == [1, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_closing_waits_for_what_is_under_way_and_begins_nothing_new() -> None:
    begun, under_way, go = [], threading.Event(), threading.Event()

    def work(item: int) -> int:
        begun.append(item)
        if item:
            under_way.set()
            go.wait()
        return item

    results = map_ahead(work, range(10), workers=1, ahead=5)
    assert next(results) == 0
    under_way.wait()
    threading.Timer(0.05, go.set).start()
    results.close()
    assert begun == [0, 1]
