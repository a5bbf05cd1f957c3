"""Settings: what wins over what, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lcdc_extract.config import (
    PAPER,
    RELEASED,
    ExtractConfig,
    NetworkConfig,
    PreprocessConfig,
    Sampling,
    SamplingDefaults,
    from_dict,
    to_dict,
)
from lcdc_extract.errors import ConfigError

WEIGHTS = SamplingDefaults(frame_step=3, stride=4)


def config(**options: Any) -> ExtractConfig:
    return ExtractConfig(("a",), Path("f.h5"), **options)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, Sampling(3, None, 4)),
        ({"preset": "50salads"}, Sampling(5, None, 2)),
        ({"preset": "gtea"}, Sampling(1, None, 5)),
        ({"preset": "50salads", "stride": 1}, Sampling(5, None, 1)),
        ({"preset": "50salads", "frame_step": 2}, Sampling(2, None, 2)),
        ({"fps": 6.0}, Sampling(1, 6.0, 4)),
        ({"preset": "50salads", "fps": 6.0}, Sampling(1, 6.0, 2)),
        ({"edges": "repeat-frame"}, Sampling(3, None, 4, "repeat-frame")),
        ({"align": "released"}, Sampling(3, None, 4, "clamp", "released")),
    ],
)
def test_options_win_over_the_preset_and_the_preset_over_the_weights(
    options: dict[str, Any], expected: Sampling
) -> None:
    assert config(**options).sampling(WEIGHTS) == expected


def test_one_input_may_be_a_plain_string() -> None:
    assert ExtractConfig("videos", "f.h5") == ExtractConfig(("videos",), Path("f.h5"))  # type: ignore[arg-type]


@pytest.mark.parametrize("network", [PAPER, RELEASED, NetworkConfig(offset_layout="per_tap", num_classes=18)])
def test_a_network_survives_its_file(network: NetworkConfig) -> None:
    assert from_dict(NetworkConfig, to_dict(network)) == network


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (NetworkConfig, {"depth": 3}, "has no field depth"),
        (NetworkConfig, {"variant": "thin"}, "variant is 'thin'; expected one of paper, released"),
        (NetworkConfig, {"stem_padding": [1, 2, 3]}, r"expected \(3, 3\) or \(2, 3\)"),
        (NetworkConfig, {"batch_norm_epsilon": "small"}, "cannot be made from"),
        (PreprocessConfig, {"height": 112}, r"expected \(224, 224\)"),
        (SamplingDefaults, {"stride": 0}, "stride is 0; expected at least 1"),
    ],
)
def test_what_a_weights_file_may_not_say(kind: type, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_dict(kind, values)
