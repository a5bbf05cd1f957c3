"""A real V2 checkpoint, written and read by the tensorflow package."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from lcdc_extract.config import PRESETS
from lcdc_extract.errors import WeightsError
from lcdc_extract.toolbox import app
from lcdc_extract.weights.convert import ConvertOptions, convert
from lcdc_extract.weights.file import load_weights
from tests.network.random_networks import relative_l2
from tests.weights import released_oracle as oracle
from tests.weights.conftest import Lab
from tests.weights.test_convert import with_training_state


def write_checkpoint(prefix: Path, variables: oracle.Variables) -> Path:
    """As a TensorFlow 1 Saver writes it, version 2 of the format, under the graph's own names."""
    v1 = pytest.importorskip("tensorflow").compat.v1
    with v1.Graph().as_default(), v1.Session() as session:
        placeholders = {name: v1.placeholder(array.dtype, array.shape) for name, array in variables.items()}
        held = [v1.get_variable(name, initializer=value, use_resource=False) for name, value in placeholders.items()]
        feed = {placeholders[name]: array for name, array in variables.items()}
        session.run([variable.initializer for variable in held], feed)
        saver = v1.train.Saver(held, write_version=v1.train.SaverDef.V2)
        return Path(saver.save(session, str(prefix), write_meta_graph=False))


@pytest.mark.tensorflow
def test_a_real_checkpoint_reproduces(tmp_path: Path, lab: Lab) -> None:
    prefix = write_checkpoint(tmp_path / "model.ckpt-1000", with_training_state(lab.variables))
    assert not prefix.exists()
    out, labels = tmp_path / "w.safetensors", tmp_path / "labels.txt"
    labels.write_text("\n".join(f"action {i}" for i in range(18)))
    from typer.testing import CliRunner

    arguments = ["weights", "convert", str(prefix), "--out", str(out), "--preset", "50salads", "--classes", str(labels)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "290 mapped, 182 left out, 0 not from the source" in result.output
    weights = load_weights(out)
    assert weights.info.trained
    assert weights.info.sampling == PRESETS["50salads"]
    assert len(weights.info.class_names) == 18
    lab.network, own = weights.network, lab.network
    with torch.inference_mode():
        features = lab.features(weights.network.encoder(lab.pixels))
    lab.network = own
    assert relative_l2(features, torch.from_numpy(lab.expected["fc_new_2"])) < 1e-4


@pytest.mark.tensorflow
def test_a_checkpoint_that_lost_its_data(tmp_path: Path) -> None:
    prefix = write_checkpoint(tmp_path / "model.ckpt-7", {"conv1/biases": np.ones(64, np.float32)})
    for path in (prefix, tmp_path / "model.ckpt-7.index", tmp_path / "model.ckpt-7.data-00000-of-00001"):
        with pytest.raises(WeightsError, match=r"conv1/weights, for conv1\.weight .* is missing"):
            convert(path, ConvertOptions())
    data = tmp_path / "model.ckpt-7.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:10])
    with pytest.raises(WeightsError, match="cannot be read"):
        convert(prefix, ConvertOptions())
    data.unlink()
    with pytest.raises(WeightsError, match="both are needed"):
        convert(prefix, ConvertOptions())
    (tmp_path / "model.ckpt-7.index").write_bytes(b"damaged")
    data.write_bytes(b"damaged")
    with pytest.raises(WeightsError, match="not a complete TensorFlow checkpoint"):
        convert(prefix, ConvertOptions())


def test_without_tensorflow_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.ckpt-1.index").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    monkeypatch.setitem(sys.modules, "tensorflow.train", None)
    with pytest.raises(WeightsError, match=r"pip install 'lcdc-extract\[tensorflow\]'"):
        convert(tmp_path / "model.ckpt-1", ConvertOptions())
