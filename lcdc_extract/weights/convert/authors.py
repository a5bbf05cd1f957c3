"""Names and layouts of the authors' TensorFlow graph, shared by its checkpoints and its pickled initial weights.

Each of our names is the layer's name in the graph with PyTorch's parameter name, so the rule is a table of parameter
names and a layout for each kind of layer. Layouts follow from the layer's name, never from a shape: the kernels of a
deformable layer are stored (out, in, kh, kw), 512 x 512 x 3 x 3, and a swap of in and out would fit as well.
"""

from __future__ import annotations

from lcdc_extract.weights.convert.scheme import KEEP, Change, Rule, transpose

CONV = transpose(3, 2, 0, 1)
"""(kh, kw, in, out) -> (out, in, kh, kw)"""
CONV_3D = transpose(4, 3, 0, 1, 2)
"""(kt, kh, kw, in, out) -> (out, in, kt, kh, kw)"""
LINEAR = transpose(1, 0)
"""(in, out) -> (out, in)"""

DEFORMABLE = ("res5a_branch2b", "res5b_branch2b", "res5c_branch2b")
OFFSETS = tuple(f"{layer}_offset" for layer in DEFORMABLE)
HEAD = (
    "conv_new_1",
    *(f"spacetime_{kind}{i}" for i in (1, 2) for kind in ("conv", "bn")),
    "fc_new_1",
    "fc_new_2",
    "cls_score",
)

CONVOLUTION_NAMES = {"weight": "weights", "bias": "biases"}
BATCH_NORM_NAMES = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}


def rule(target: str) -> Rule:
    """The rule of one of our tensors: `res3a_branch2a.weight` is `res3a_branch2a/weights`, transposed."""
    layer, parameter = target.rsplit(".", 1)
    if is_batch_norm(layer):
        return Rule(f"{layer}/{BATCH_NORM_NAMES[parameter]}")
    return Rule(f"{layer}/{CONVOLUTION_NAMES[parameter]}", _layout(layer) if parameter == "weight" else KEEP)


def is_batch_norm(layer: str) -> bool:
    """Whether a layer of Table 4 is a batch norm, by its name."""
    return layer.startswith(("bn", "spacetime_bn"))


def _layout(layer: str) -> Change:
    if layer in DEFORMABLE:
        return KEEP
    if layer.startswith("spacetime_conv"):
        return CONV_3D
    if layer.startswith(("fc_new_", "cls_score")):
        return LINEAR
    return CONV
