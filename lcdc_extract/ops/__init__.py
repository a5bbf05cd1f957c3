"""The deformable operators of equations 11 to 16."""

from lcdc_extract.ops.reference import deform_conv2d, locally_consistent_conv2d, receptive_field_motion, warp

__all__ = ["deform_conv2d", "locally_consistent_conv2d", "receptive_field_motion", "warp"]


def implementation(device: str) -> str:
    """What runs the operators on this kind of device, for records and `lcdc doctor`."""
    return f"reference ({device})"
