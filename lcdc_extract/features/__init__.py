"""Feature files in HDF5: writing, putting together, reading."""

from lcdc_extract.features.part import PartWriter
from lcdc_extract.features.reader import FeatureFile, VideoFeatures, open_features
from lcdc_extract.features.schema import RunRecord, VideoFailed
from lcdc_extract.features.store import FeatureStore, check_ids, check_output, parts_folder, peek

__all__ = [
    "FeatureFile",
    "FeatureStore",
    "PartWriter",
    "RunRecord",
    "VideoFailed",
    "VideoFeatures",
    "check_ids",
    "check_output",
    "open_features",
    "parts_folder",
    "peek",
]
