"""Per-frame features for temporal action segmentation, from the LCDC network.

from lcdc_extract import ExtractConfig, Extractor, extract, open_features
extract(ExtractConfig("videos/", "feats.h5", weights="weights.safetensors"))
features = open_features("feats.h5")["clip"].features  # (T, 1024)
features = Extractor(weights="weights.safetensors").features(frames)  # of frames in memory
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from lcdc_extract.config import ExtractConfig
    from lcdc_extract.extractor import Extractor
    from lcdc_extract.features import open_features
    from lcdc_extract.pipeline import extract

__all__ = ["ExtractConfig", "Extractor", "__version__", "extract", "open_features"]

_HOMES = {
    "ExtractConfig": "lcdc_extract.config",
    "Extractor": "lcdc_extract.extractor",
    "extract": "lcdc_extract.pipeline",
    "open_features": "lcdc_extract.features",
}


def __getattr__(name: str) -> Any:
    """Imports on first use, so that `import lcdc_extract` and `--help` do not wait for torch."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
