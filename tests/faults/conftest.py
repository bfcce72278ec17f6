"""What the tests of random histories tell in the end."""

from collections import Counter
from collections.abc import Iterator

import pytest

from faults.histories import SEED


@pytest.fixture(scope="module")
def tally(request: pytest.FixtureRequest) -> Iterator[Counter[str]]:
    """What was done, how often; told in the end."""
    counted: Counter[str] = Counter()
    yield counted
    each = ", ".join(f"{name} {number}" for name, number in sorted(counted.items()))
    with request.config.pluginmanager.get_plugin("capturemanager").global_and_fixture_disabled():
        print(f"\nSeed {SEED}: {each}")
