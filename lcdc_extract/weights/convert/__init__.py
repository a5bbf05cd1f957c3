"""Other people's checkpoints to the network of this package: one module for each family of files."""

from lcdc_extract.weights.convert.carry_out import TensorOrigin
from lcdc_extract.weights.convert.convert import Conversion, ConvertOptions, convert

__all__ = ["Conversion", "ConvertOptions", "TensorOrigin", "convert"]
