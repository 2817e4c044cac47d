"""No test writes to the user's cache folder."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHOW1_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"
