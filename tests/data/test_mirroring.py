from __future__ import annotations

from collections.abc import Callable

import numpy as np

from autoseg.data.mirroring import left_right_exchange
from autoseg.data.source import PatchSource
from autoseg.labels import Labels

Maps = dict[str, np.ndarray]
PAIRED = {"left_right_axis": 2, "left_right_pairs": (("left", "right"),)}


def exchange_of(labels: Labels, *pairs: tuple[str, str]) -> np.ndarray | None:
    exchange = left_right_exchange(labels, pairs)
    return None if exchange is None else exchange.labels(np.arange(len(exchange.values)))


def middle(labels: np.ndarray, value: int, axis: int) -> float:
    return float(np.nonzero(labels == value)[axis].mean())


def test_values_of_a_pair_are_exchanged_and_no_others() -> None:
    labels = Labels({"left": (1,), "heart": (2,), "right": (3,)}, ignore=4)
    np.testing.assert_array_equal(exchange_of(labels, ("left", "right")), [0, 3, 2, 1, 4])


def test_regions_are_exchanged_with_their_values() -> None:
    classes = {"body": (1, 2, 3, 4), "left": (1, 2), "left core": (2,), "right": (3, 4), "right core": (4,)}
    labels = Labels(classes, region_values=(1, 2, 3, 4, 5))
    pairs = (("left", "right"), ("left core", "right core"))
    np.testing.assert_array_equal(exchange_of(labels, *pairs), [0, 3, 4, 1, 2, 5])
    np.testing.assert_array_equal(left_right_exchange(labels, pairs).classes, [0, 3, 4, 1, 2])


def test_pairs_that_values_cannot_express_give_no_exchange() -> None:
    unequal = Labels({"left": (1, 2), "right": (3,)}, region_values=(1, 3))
    assert exchange_of(unequal, ("left", "right")) is None
    third = Labels({"left": (1,), "right": (2,), "upper": (1, 3)}, region_values=(1, 2, 3))
    assert exchange_of(third, ("left", "right")) is None


def test_left_stays_left_under_any_augmentation(source_of: Callable[..., PatchSource], two_balls: Maps) -> None:
    source = source_of(two_balls, (24, 28, 32), plans=PAIRED, foreground_fraction=0.0)
    flipped = 0
    for number in range(60):
        sample = source.sample(number)
        assert middle(sample.labels, 1, 2) < middle(sample.labels, 2, 2)
        flipped += int((sample.labels == 1).sum() < (sample.labels == 2).sum())
    assert 15 < flipped < 45


def test_without_pairs_a_flip_would_swap_the_sides(source_of: Callable[..., PatchSource], two_balls: Maps) -> None:
    source = source_of(two_balls, (24, 28, 32), foreground_fraction=0.0)
    samples = [source.sample(number).labels for number in range(30)]
    assert any(middle(labels, 1, 2) > middle(labels, 2, 2) for labels in samples)


def test_an_axis_without_an_exchange_is_not_mirrored(source_of: Callable[..., PatchSource], two_balls: Maps) -> None:
    labels = Labels({"left": (1, 3), "right": (2,)}, region_values=(1, 2))
    source = source_of(two_balls, (24, 28, 32), plans=PAIRED, labels=labels, foreground_fraction=0.0)
    assert source.spatial.mirror_axes == (0, 1)
    for number in range(30):
        sample = source.sample(number)
        assert middle(sample.labels, 1, 2) < middle(sample.labels, 2, 2)


def test_left_stays_left_in_two_dimensions(source_of: Callable[..., PatchSource], two_balls: Maps) -> None:
    paired = PAIRED | {"left_right_axis": 2}
    source = source_of(two_balls, (28, 32), plans=paired, foreground_fraction=1.0)
    source.spatial = type(source.spatial)(0.0, True, (1, 2))
    both = 0
    for number in range(40):
        labels = source.sample(number).labels
        if (labels == 1).any() and (labels == 2).any():
            both += 1
            assert middle(labels, 1, 2) < middle(labels, 2, 2)
    assert both > 10


def test_contoured_flags_follow_their_organ(source_of: Callable[..., PatchSource], two_balls: Maps) -> None:
    maps = {name: np.where(labels == 2, 0, labels).astype(np.int16) for name, labels in two_balls.items()}
    missing = dict.fromkeys(maps, ("right",))
    source = source_of(maps, (24, 28, 32), plans=PAIRED, not_contoured=missing, foreground_fraction=0.0)
    seen = set()
    for number in range(20):
        sample = source.sample(number)
        present = [bool((sample.labels == value).any()) for value in (1, 2)]
        assert sample.contoured.tolist() == present
        seen.add(tuple(present))
    assert seen == {(True, False), (False, True)}


def test_previous_channels_follow_their_organ(source_of: Callable[..., PatchSource], two_balls: Maps) -> None:
    source = source_of(two_balls, (24, 28, 32), plans=PAIRED, previous=True, foreground_fraction=0.0)
    source.mask_changes.strength = 0
    for number in range(20):
        sample = source.sample(number)
        np.testing.assert_array_equal(sample.image[1], sample.labels == 1)
        np.testing.assert_array_equal(sample.image[2], sample.labels == 2)
