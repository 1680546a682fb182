"""Fixtures of the readers' tests."""

import pytest

from pipelines import store


@pytest.fixture
def whole_pictures(monkeypatch):
    """Pictures of 640 px are stored whole, so that a sample's K is its camera's own."""
    monkeypatch.setattr(store, "MAX_SIDE", 640)
