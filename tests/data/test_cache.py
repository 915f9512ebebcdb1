"""Cases in memory answer like the store, are read once, and stay within their limit."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from autoseg.data.cache import CachedCases
from autoseg.geometry import Box, Geometry
from autoseg.preprocessing.case import CaseRecord, PreparedCase
from autoseg.preprocessing.store import PreparedStore

SHAPE = (4, 5, 6)
CASE_BYTES = 4 * 5 * 6 * (4 + 2)


@pytest.fixture
def store(tmp_path: Path) -> PreparedStore:
    store, spacing = PreparedStore(tmp_path), (1.0, 1.0, 1.0)
    for number, name in enumerate("abc"):
        facts = CaseRecord(name, Geometry(SHAPE, spacing), (0, 1, 2), Box.whole(SHAPE), SHAPE, SHAPE, spacing, spacing)
        image = np.full((1, *SHAPE), number, np.float32)
        store.write(PreparedCase(image, np.full(SHAPE, number, np.int16), facts), {"organ": np.ones((2, 3), np.int32)})
    return store


def is_on_disk(array: np.ndarray) -> bool:
    return isinstance(array, np.memmap)


def test_answers_like_the_store(store: PreparedStore) -> None:
    cached = CachedCases(store, ["a", "b", "c"], 10 * CASE_BYTES)
    for name in "abc":
        np.testing.assert_array_equal(cached.image(name), store.image(name))
        np.testing.assert_array_equal(cached.labels(name), store.labels(name))
        np.testing.assert_array_equal(cached.foreground(name)["organ"], store.foreground(name)["organ"])
        assert cached.record(name) == store.record(name)


def test_a_case_is_read_once(store: PreparedStore) -> None:
    cached = CachedCases(store, ["a"], CASE_BYTES)
    first = cached.image("a")
    assert not is_on_disk(first)
    assert cached.image("a") is first
    assert cached.foreground("a") is cached.foreground("a")


def test_what_does_not_fit_stays_on_disk(store: PreparedStore, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        cached = CachedCases(store, ["a", "b", "c"], 2 * CASE_BYTES)
    assert [is_on_disk(cached.image(name)) for name in "abc"] == [False, False, True]
    assert is_on_disk(cached.labels("c"))
    assert "2 of 3 cases are kept in memory" in caplog.text


def test_a_copy_for_another_process_starts_empty(store: PreparedStore) -> None:
    cached = CachedCases(store, ["a", "b", "c"], 10 * CASE_BYTES)
    cached.image("a")
    size = len(pickle.dumps(cached))
    cached.image("b")
    assert len(pickle.dumps(cached)) == size
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(cached)).image("b"), store.image("b"))
