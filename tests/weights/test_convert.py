"""Checkpoints of every family to our network: names, layouts, counts, and refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from lcdc_extract.config import PAPER, PRESETS, RELEASED, NetworkConfig
from lcdc_extract.errors import ConfigError, WeightsError
from lcdc_extract.network.preprocess import preprocess
from lcdc_extract.weights.convert import ConvertOptions, convert, pickled, resnet50, tensorflow
from lcdc_extract.weights.convert.carry_out import carry_out
from lcdc_extract.weights.convert.checkpoint import Array, in_memory
from lcdc_extract.weights.convert.scheme import KEEP, Scheme
from lcdc_extract.weights.file import layer_state, load_weights, save_weights
from tests.network.random_networks import relative_l2
from tests.weights import released_oracle as oracle
from tests.weights.conftest import pictures
from tests.weights.samples import initial_weights, module_of, small_file, torchvision_resnet50, write_pickle


def flat(layers: dict[str, dict[str, Array]]) -> dict[str, Array]:
    return {f"{layer}/{name}": array for layer, parts in layers.items() for name, array in parts.items()}


def released(variables: dict[str, Array]) -> Scheme:
    return tensorflow.scheme(in_memory(variables))


def with_training_state(variables: dict[str, Array]) -> dict[str, Array]:
    """The 182 more that a training checkpoint has."""
    trainable = [name for name in variables if "/moving_" not in name]
    momenta = {f"{name}/Momentum": np.zeros_like(variables[name]) for name in trainable}
    more = {"global_step": np.array(1000), "confusion_vid": np.zeros((18, 18), np.int32)}
    return variables | momenta | more


def test_the_290_variables_map_one_to_one(variables: oracle.Variables) -> None:
    everything = with_training_state(variables)
    assert (len(variables), len(everything)) == (290, 472)
    network, origins = carry_out(released(everything))
    mapped = [origin for origin in origins if origin.source and origin.target]
    assert len({origin.source for origin in mapped}) == len({origin.target for origin in mapped}) == len(mapped) == 290
    assert {origin.source for origin in origins} == set(everything)
    assert sum(tensor.numel() for tensor in layer_state(network).values()) == 42_803_480
    assert network.config.num_classes == 18


def test_square_kernels_are_mapped_by_name(variables: oracle.Variables) -> None:
    network, origins = carry_out(released(variables))
    change = {origin.target: origin.change for origin in origins}
    assert change["res5b_branch2b.weight"] == KEEP.text
    tensors = layer_state(network)
    assert torch.equal(tensors["res5b_branch2b.weight"], torch.from_numpy(variables["res5b_branch2b/weights"]))
    for layer, axes in (("fc_new_2", (1, 0)), ("spacetime_conv2", (4, 3, 0, 1, 2)), ("res4b_branch2b", (3, 2, 0, 1))):
        assert change[f"{layer}.weight"] == f"transpose {axes}"
        expected = torch.from_numpy(variables[f"{layer}/weights"]).permute(axes)
        assert torch.equal(tensors[f"{layer}.weight"], expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"conv1/biases": None}, r"conv1/biases, for conv1.bias \(64,\), is missing"),
        ({"extra/weights": np.zeros(3, np.float32)}, r"extra/weights \(3,\) belongs to no layer"),
        ({"extra/Momentum": np.zeros(3, np.float32)}, r"extra/Momentum \(3,\) belongs to no layer"),
        ({"fc_new_2/biases": np.zeros(1023, np.float32)}, r"fc_new_2/biases is \(1023,\).*should give \(1024,\)"),
        ({"fc_new_2/weights": np.zeros((1024, 1, 1024), np.float32)}, "fc_new_2/weights is"),
        ({"bn_conv1/gamma": np.full(64, np.nan, np.float32)}, "bn_conv1/gamma holds numbers that are not finite"),
        ({"bn_conv1/beta": np.zeros(64, np.int32)}, "bn_conv1/beta holds int32"),
    ],
)
def test_nothing_passes_silently(variables: oracle.Variables, change: dict[str, Array | None], message: str) -> None:
    altered = {name: array for name, array in (variables | change).items() if array is not None}
    with pytest.raises(WeightsError, match=message):
        carry_out(released(altered))


def test_drop_names_what_to_leave_out(variables: oracle.Variables) -> None:
    extra = variables | {"extra/weights": np.zeros(3, np.float32)}
    _, origins = carry_out(released(extra), drop=("extra/weights",))
    assert origins[-1].source == "extra/weights"
    assert origins[-1].change == "left out as asked"


@pytest.mark.parametrize("group", range(4))
def test_one_group_of_four(group: int) -> None:
    arrays = flat(initial_weights(groups=4))
    network, origins = carry_out(pickled.scheme(arrays, group))
    tensors = layer_state(network)
    offsets = arrays["res5c_branch2b_offset/weights"]  # (3, 3, 512, 72)
    first = 18 * group + 2 * 4  # group, then tap 4 of 9, then dy and dx
    expected = torch.from_numpy(offsets[..., first : first + 2]).permute(3, 2, 0, 1)
    assert torch.equal(tensors["res5c_branch2b_offset.weight"], expected)
    bias = torch.from_numpy(arrays["res5c_branch2b_offset/biases"][first : first + 2])
    assert torch.equal(tensors["res5c_branch2b_offset.bias"], bias)
    kernel = torch.from_numpy(arrays["res5a_branch2b/weights"]).permute(3, 2, 0, 1)  # stored as (kh, kw, in, out)
    assert torch.equal(tensors["res5a_branch2b.weight"], kernel)
    untrained = {origin.target.split(".")[0] for origin in origins if "untrained" in origin.change}
    assert untrained == {"spacetime_conv1", "spacetime_bn1", "spacetime_conv2", "spacetime_bn2"}
    assert {origin.source for origin in origins if not origin.target} == {"rpn_conv/weights", "bbox_pred/biases"}


def test_groups_are_asked_for_and_only_where_they_are() -> None:
    with pytest.raises(WeightsError, match="Choose one: `group` 0, 1"):
        pickled.scheme(flat(initial_weights(groups=4)), None)
    with pytest.raises(WeightsError, match="these have 2"):
        pickled.scheme(flat(initial_weights(groups=1)), 0)


def test_a_pickle_file_converts(tmp_path: Path) -> None:
    layers = initial_weights(groups=1)
    result = convert(write_pickle(tmp_path / "init.pkl", layers), ConvertOptions(sampling=PRESETS["gtea"]))
    assert not result.info.trained
    assert result.info.network == RELEASED
    assert result.info.sampling == PRESETS["gtea"]
    assert "object detection" in result.info.provenance["pretrained"]
    expected = torch.from_numpy(layers["conv1"]["weights"]).permute(3, 2, 0, 1)
    assert torch.equal(layer_state(result.network)["conv1.weight"], expected)


def torchvision_forward(state: dict[str, Tensor], x: Tensor) -> Tensor:
    """ResNet-50 as torchvision runs it, from its state dict, to the end of layer3."""

    def norm(name: str, x: Tensor) -> Tensor:
        mean, var, weight, bias = (
            state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return functional.batch_norm(x, mean, var, weight, bias, eps=1e-5)

    x = functional.conv2d(x, state["conv1.weight"], stride=2, padding=3)
    x = functional.max_pool2d(norm("bn1", x).relu(), 3, stride=2, padding=1)
    for layer, blocks in ((1, 3), (2, 4), (3, 6)):
        for block in range(blocks):
            name, stride = f"layer{layer}.{block}", 2 if layer > 1 and block == 0 else 1
            y = norm(f"{name}.bn1", functional.conv2d(x, state[f"{name}.conv1.weight"])).relu()
            y = functional.conv2d(y, state[f"{name}.conv2.weight"], stride=stride, padding=1)
            y = norm(f"{name}.bn3", functional.conv2d(norm(f"{name}.bn2", y).relu(), state[f"{name}.conv3.weight"]))
            if block == 0:
                x = functional.conv2d(x, state[f"{name}.downsample.0.weight"], stride=stride)
                x = norm(f"{name}.downsample.1", x)
            x = (x + y).relu()
    return x


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_torchvision_resnet50(tmp_path: Path, suffix: str) -> None:
    state, path = torchvision_resnet50(), tmp_path / f"resnet50{suffix}"
    torch.save(state, path) if suffix == ".pth" else save_file(state, path)
    result = convert(path, ConvertOptions(licence="BSD-3-Clause", trained_on="ImageNet-1k"))
    assert not result.info.trained
    assert result.info.network == NetworkConfig(stride_position="3x3")
    assert result.info.provenance["licence"] == "BSD-3-Clause"
    assert "offset" in result.info.provenance["pretrained"]
    zero = [origin.target for origin in result.origins if "zero" in origin.change]
    assert zero == ["conv1.bias"]
    mapped = [origin for origin in result.origins if origin.source and origin.target]
    assert len(mapped) == 265  # 53 convolutions, 53 batch norms
    assert torch.equal(layer_state(result.network)["res5c_branch2b.weight"], state["layer4.2.conv2.weight"])

    rgb = torch.from_numpy(pictures(1, seed=3))
    maps: list[Tensor] = []
    module_of(result.network, "res5a_branch1").register_forward_pre_hook(lambda _, x: maps.append(x[0]))
    with torch.inference_mode():
        result.network.encoder(preprocess(rgb, result.info.preprocess, torch.float32))
        mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        normalised = ((rgb / 255 - mean) / deviation).permute(0, 3, 1, 2)
        assert relative_l2(maps[0], torchvision_forward(state, normalised)) < 1e-5


def test_another_resnet_is_refused() -> None:
    state = {name: tensor.numpy() for name, tensor in torchvision_resnet50().items()}
    deep_stem = {("conv1.0.weight" if name == "conv1.weight" else name): array for name, array in state.items()}
    with pytest.raises(WeightsError, match=r"conv1\.weight, for conv1\.weight .* is missing"):
        carry_out(resnet50.scheme(in_memory(deep_stem)))


def test_our_own_training_checkpoint(tmp_path: Path) -> None:
    start = tmp_path / "start.safetensors"
    config = NetworkConfig(stride_position="3x3", num_classes=3)
    network = small_file(start, NetworkConfig(stride_position="3x3"), provenance={"source": "ImageNet"})
    state = layer_state(network) | {"cls_score.weight": torch.ones(3, 1024), "cls_score.bias": torch.ones(3)}
    torch.save({"state_dict": state, "epoch": 4}, tmp_path / "epoch4.pth")
    result = convert(tmp_path / "epoch4.pth", ConvertOptions(like=start, class_names=("a", "b", "c")))
    assert result.info.trained
    assert result.info.network == config
    assert result.info.class_names == ("a", "b", "c")
    assert result.info.provenance["started from: source"] == "ImageNet"
    with pytest.raises(ConfigError, match="2 class names for 3 classes"):
        convert(tmp_path / "epoch4.pth", ConvertOptions(class_names=("a", "b")))
    assert convert(tmp_path / "epoch4.pth", ConvertOptions()).info.network.stride_position == PAPER.stride_position


def test_the_result_is_a_weights_file(tmp_path: Path) -> None:
    save_file(torchvision_resnet50(), tmp_path / "resnet50.safetensors")
    result = convert(tmp_path / "resnet50.safetensors", ConvertOptions())
    save_weights(tmp_path / "w.safetensors", result.network, result.info)
    loaded = load_weights(tmp_path / "w.safetensors")
    assert loaded.info == result.info
    for name, tensor in layer_state(result.network).items():
        assert torch.equal(layer_state(loaded.network)[name], tensor), name


@pytest.mark.parametrize(
    ("name", "message"), [("missing.pth", "is not there"), ("w.onnx", "no known kind"), ("w.pth", "are neither")]
)
def test_other_files_are_refused(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "w.onnx").write_bytes(b"x")
    torch.save({"net.0.weight": torch.ones(1)}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=message):
        convert(tmp_path / name, ConvertOptions())


def test_options_that_mean_nothing_are_refused(tmp_path: Path) -> None:
    torch.save(torchvision_resnet50(), tmp_path / "r.pth")
    with pytest.raises(WeightsError, match="`group` means nothing for a ResNet-50"):
        convert(tmp_path / "r.pth", ConvertOptions(group=0))
