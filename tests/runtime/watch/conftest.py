"""The stage of the tests of the loop."""

from pathlib import Path

import pytest
from stage import Stage, stage_in


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return stage_in(tmp_path)
