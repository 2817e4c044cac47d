"""`record` is each of the recorded runs in turn."""

import pytest

from recorded import FOLDERS, Record, read_record


@pytest.fixture(scope="session", params=FOLDERS)
def record(request: pytest.FixtureRequest) -> Record:
    return read_record(request.param)
