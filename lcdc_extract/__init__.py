"""Per-frame features for temporal action segmentation, from the LCDC network."""

__version__ = "0.1.0"
