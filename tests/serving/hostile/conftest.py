"""The server that the tests share."""

from collections.abc import Iterator

import pytest

from tests.serving.golden.recorded import SETUPS
from tests.serving.hostile.target import Target, started


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with started(tmp_path_factory.mktemp("server"), SETUPS["default"]) as target:
        yield target


@pytest.fixture
def target(shared: Target) -> Iterator[Target]:
    """The server that the tests share; when a test ends it must be well, and have met no error of its own."""
    before = len(shared.stderr)
    yield shared
    assert shared.server.is_alive, shared.server.report()
    assert shared.is_well()
    said = shared.stderr[before:]
    assert not any(line in said for line in ("A call failed", "Exception in ", "never retrieved")), said[-4000:]
