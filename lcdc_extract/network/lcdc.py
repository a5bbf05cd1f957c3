"""The whole network of Table 4."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from lcdc_extract.config import NetworkConfig
from lcdc_extract.network.encoder import DEFORMABLE_BLOCKS, DeformableBottleneck, FrameEncoder
from lcdc_extract.network.head import TemporalHead


class LCDC(nn.Module):
    """Frame encoder and temporal head. `names.py` has the paper's name of each layer.

    Batch norm always runs on stored statistics: the network is made in evaluation mode.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = FrameEncoder(config)
        """conv1 .. conv_new_1, frame by frame."""
        self.head = TemporalHead(
            motion_channels=len(DEFORMABLE_BLOCKS) * config.offset_channels,
            num_classes=config.num_classes,
            epsilon=config.batch_norm_epsilon,
        )
        """spacetime_fusion .. fc_new_2, snippet by snippet."""
        self.eval()

    def forward(self, snippets: Tensor) -> Tensor:
        """snippets (N, 16, 3, 224, 224), RGB with means subtracted; returns fc_new_2, (N, 1024)."""
        encoded = self.encoder(snippets.flatten(0, 1))  # 16 N frames
        lead = snippets.shape[:2]
        appearance, offsets = (x.reshape(*lead, *x.shape[1:]) for x in (encoded.appearance, encoded.offsets))
        features: Tensor = self.head(appearance, offsets)
        return features

    def for_extraction(self, device: torch.device, dtype: torch.dtype) -> LCDC:
        """A copy with batch norm folded into the convolutions, on `device`, in `dtype`; offset layers stay float32."""
        network = copy.deepcopy(self).requires_grad_(False)
        fold_batch_norm(network)
        network = network.to(device, dtype)
        # The faster layout on CPUs, docs/operator.md has by how much; and that of the operator's kernels.
        network.encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for module in network.modules():
            if isinstance(module, DeformableBottleneck):
                module.branch2b_offset.float()
        return network


def fold_batch_norm(network: nn.Module) -> None:
    """Folds every batch norm `bn_X` into the convolution X beside it, in place."""
    for parent in network.modules():
        children = dict(parent.named_children())
        for name, norm in children.items():
            if isinstance(norm, nn.modules.batchnorm._BatchNorm):
                _fold(children[name.removeprefix("bn_")], norm)
                setattr(parent, name, nn.Identity())


def _fold(convolution: nn.Module, norm: nn.modules.batchnorm._BatchNorm) -> None:
    """norm(conv(x)) = (w * s) x + (b - mean) * s + beta with s = gamma / sqrt(var + eps), worked out in float64."""
    parameters = dict(convolution.named_parameters())
    weight, bias = parameters["weight"], parameters.get("bias")
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    old_bias = torch.zeros_like(scale) if bias is None else bias.double()
    new_bias = (old_bias - norm.running_mean.double()) * scale + norm.bias.double()
    new_weight = weight.double() * scale.reshape(-1, *[1] * (weight.ndim - 1))
    convolution.weight = nn.Parameter(new_weight.to(weight.dtype), requires_grad=False)
    convolution.bias = nn.Parameter(new_bias.to(weight.dtype), requires_grad=False)
