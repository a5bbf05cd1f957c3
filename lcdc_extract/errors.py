"""Errors a user can act on. Each message says what was found, what was expected and what to do.

A setting is named as Python has it, in backquotes: `frame_step`, `decoder='av'`. The command lines turn any of these
errors into text and exit code 2, with settings as options (`terminal.as_options`); anything else is a bug and keeps its
traceback.
"""


class LcdcError(Exception):
    """Base of every error this package raises on purpose."""


class ConfigError(LcdcError):
    """A setting is out of range, or two settings exclude each other."""


class VideoError(LcdcError):
    """No videos were found, or one video cannot be decoded."""


class FrameError(LcdcError):
    """Frames handed over in memory are not uint8 RGB of one size."""


class WeightsError(LcdcError):
    """A weights name is unknown, or a weights file is damaged or belongs to another network."""


class DeviceError(LcdcError):
    """The device asked for is not there."""


class TrainingError(LcdcError):
    """A training run cannot start, go on or be stored."""


class OperatorError(LcdcError):
    """The deformable operator was given tensors that do not fit, or its compiled library cannot run."""


class OutputError(LcdcError):
    """The output file cannot be written, is not ours, or was made with other settings."""


class LabelsError(LcdcError):
    """Frame labels, a class list or a split cannot be read, or do not fit together or to the features."""


class PlotError(LcdcError):
    """A picture cannot be drawn: matplotlib is missing."""
