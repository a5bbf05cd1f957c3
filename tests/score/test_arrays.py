"""`score_splits` on arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lcdc_extract.errors import ConfigError, LabelsError
from lcdc_extract.labels import Split
from lcdc_extract.score import ScoreConfig, ignored_classes, score_splits
from lcdc_extract.score.metrics import lea_scores, mstcn_scores

NAMES = ["background", "take", "pour"]
SPLIT = Split("1", ("a", "b"), ("c",))


def arrays(rows: int = 21) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    labels = {name: np.arange(rows) * 3 // rows for name in "abc"}
    features = {name: np.eye(3, 8, dtype=np.float32)[row] for name, row in labels.items()}
    return features, labels


def test_arrays_are_scored_like_the_metrics_say() -> None:
    features, labels = arrays()
    calls: list[int] = []
    config = ScoreConfig(epochs=3)
    (result,) = score_splits(features, labels, NAMES, [SPLIT], config, progress=lambda: calls.append(1))
    assert list(result.predicted) == ["c"]
    pair = [result.predicted["c"]], [labels["c"]]
    assert result.scores == {"lea": lea_scores(*pair, [0]), "mstcn": mstcn_scores(*pair, [0])}
    assert len(calls) == 3
    (again,) = score_splits(features, labels, NAMES, [SPLIT], config)
    np.testing.assert_array_equal(again.predicted["c"], result.predicted["c"])


@pytest.mark.parametrize("rows", [20, 21, 22])
def test_sample_rate_repeats_predictions(rows: int) -> None:
    features, labels = arrays(rows)
    (result,) = score_splits(features, labels, NAMES, [SPLIT], ScoreConfig(epochs=2, sample_rate=3))
    predicted = result.predicted["c"]
    assert len(predicted) == rows
    np.testing.assert_array_equal(predicted, predicted[::3].repeat(3)[:rows])
    thinned = [{name: array[::3] for name, array in both.items()} for both in (features, labels)]
    (expected,) = score_splits(thinned[0], thinned[1], NAMES, [SPLIT], ScoreConfig(epochs=2))
    np.testing.assert_array_equal(predicted[::3], expected.predicted["c"])


def test_arrays_that_do_not_fit() -> None:
    features, labels = arrays()
    for wrong_features, wrong_labels, message in [
        (
            features,
            {**labels, "c": labels["c"][1:]},
            r"c: features of shape \(21, 8\) for 20 labels; expected \(20, 8\)",
        ),
        ({**features, "c": features["c"][:, 1:]}, labels, r"c: features of shape \(21, 7\)"),
        (features, {**labels, "b": labels["b"] + 1}, "b: labels from 1 to 3; expected 0 to 2"),
        ({"a": features["a"]}, labels, "split 1: no features or no labels for b, c"),
    ]:
        with pytest.raises(LabelsError, match=message):
            score_splits(wrong_features, wrong_labels, NAMES, [SPLIT])
    with pytest.raises(LabelsError, match="split 1 has no test videos"):
        score_splits(features, labels, NAMES, [Split("1", ("a",), ())])


@pytest.mark.parametrize(("setting", "least"), [("epochs", 1), ("seed", 0), ("sample_rate", 1)])
@pytest.mark.parametrize("value", [-1, 2.5, 2.0, True])
def test_only_whole_numbers(setting: str, least: int, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"`{setting}` is {value}; expected a whole number of at least {least}"):
        ScoreConfig(**{setting: value})


def test_which_classes_are_ignored() -> None:
    assert ignored_classes(NAMES) == {"lea": [0], "mstcn": [0]}
    assert ignored_classes(["take", "background"]) == {"lea": [1], "mstcn": [1]}
    assert ignored_classes(["SIL", "take"]) == {"lea": [], "mstcn": []}
    assert ignored_classes(["SIL", "take", "end"], ["SIL", "end"]) == {"lea": [0, 2], "mstcn": []}
    with pytest.raises(LabelsError, match="`background=SIL`: no such class; the classes are background, take, pour"):
        ignored_classes(NAMES, ["SIL"])
