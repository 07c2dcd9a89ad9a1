"""Pages served at localhost, as people do it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from browser import Site


@pytest.fixture
def serve() -> Iterator[Callable[[Path], Site]]:
    sites: list[Site] = []

    def start(folder: Path) -> Site:
        sites.append(Site(folder))
        return sites[-1]

    yield start
    for site in sites:
        site.close()
