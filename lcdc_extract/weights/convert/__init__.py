"""Other people's checkpoints to the network of this package: one module for each family of files."""

from lcdc_extract.weights.convert.convert import convert
from lcdc_extract.weights.convert.plan import Conversion, ConvertOptions, Row

__all__ = ["Conversion", "ConvertOptions", "Row", "convert"]
