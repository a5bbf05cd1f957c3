"""The deformable operators of equations 11 to 16, in plain PyTorch and compiled (cuda_ext/)."""

from lcdc_extract.ops.library import implementation
from lcdc_extract.ops.modules import DeformConv2d
from lcdc_extract.ops.operators import deform_conv2d, locally_consistent_conv2d, receptive_field_motion, warp

__all__ = [
    "DeformConv2d",
    "deform_conv2d",
    "implementation",
    "locally_consistent_conv2d",
    "receptive_field_motion",
    "warp",
]
