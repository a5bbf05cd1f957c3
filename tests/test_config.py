"""Settings: what wins over what, and what is refused."""

from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path
from typing import Any

import numpy as np
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
    assert config(**options).sampling.resolve(WEIGHTS) == expected


def test_one_input_may_be_a_plain_string() -> None:
    assert ExtractConfig("videos", "f.h5") == ExtractConfig(("videos",), Path("f.h5"))


@pytest.mark.parametrize("network", [PAPER, RELEASED, NetworkConfig(offset_layout="per_tap", num_classes=18)])
def test_a_network_survives_its_file(network: NetworkConfig) -> None:
    assert from_dict(NetworkConfig, to_dict(network)) == network


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (NetworkConfig, {"depth": 3}, "has no field depth"),
        (NetworkConfig, {"border": "thin"}, "`border` is 'thin'; expected one of zero, released"),
        (NetworkConfig, {"res5_dilation": 1.5}, "`res5_dilation` is 1.5; expected a whole number of at least 1"),
        (NetworkConfig, {"stem_padding": [1, 2, 3]}, r"expected \(3, 3\) or \(2, 3\)"),
        (NetworkConfig, {"batch_norm_epsilon": "small"}, "`batch_norm_epsilon` is 'small'; expected a positive number"),
        (PreprocessConfig, {"mean": [1, 2]}, "expected three numbers"),
        (PreprocessConfig, {"antialias": 1}, "`antialias` is 1; expected true or false"),
        (SamplingDefaults, {"stride": 0}, "`stride` is 0; expected a whole number of at least 1"),
        (SamplingDefaults, {"frame_step": 2.5}, "`frame_step` is 2.5; expected a whole number"),
    ],
)
def test_what_a_weights_file_may_not_say(kind: type, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_dict(kind, values)


@pytest.mark.parametrize("number", [2.5, 2.0, True, "2", np.float64(2)])
@pytest.mark.parametrize("name", ["frame_step", "stride", "batch_size", "decoders"])
def test_whole_numbers_only(name: str, number: object) -> None:
    with pytest.raises(ConfigError, match=f"`{name}` is .*; expected a whole number of at least 1"):
        config(**{name: number})
    assert getattr(config(**{name: np.int64(3)}), name) == 3


def test_every_field_of_a_run_is_explained() -> None:
    lines = inspect.getsource(ExtractConfig).splitlines()
    fields = {field.name for field in dataclasses.fields(ExtractConfig)}
    places = {name: line for line, text in enumerate(lines) for name in fields if text.startswith(f"    {name}: ")}
    assert fields == places.keys()
    assert [name for name, line in places.items() if not lines[line + 1].startswith('    """')] == []
