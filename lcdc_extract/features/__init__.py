"""Feature files in HDF5: writing, putting together, reading."""

from lcdc_extract.features.reader import FeatureFile, VideoFeatures, open_features
from lcdc_extract.features.schema import Failure, RunRecord
from lcdc_extract.features.store import FeatureStore, check_ids, check_output, parts_folder, peek

__all__ = [
    "Failure",
    "FeatureFile",
    "FeatureStore",
    "RunRecord",
    "VideoFeatures",
    "check_ids",
    "check_output",
    "open_features",
    "parts_folder",
    "peek",
]
