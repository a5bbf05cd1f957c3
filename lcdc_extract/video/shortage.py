"""What to say when the machine has no more processes, files or memory for decoders."""

from __future__ import annotations

import errno
import os
import sys

from lcdc_extract.errors import VideoError

OPEN_FILES = frozenset({errno.EMFILE, errno.ENFILE, errno.ETOOMANYREFS})
"""The system says so when a process, or the machine, has too many."""

_FILES = "too many files are open; raise the limit (`ulimit -n`)"
_WHAT_RAN_OUT = {
    errno.EAGAIN: "no more processes are allowed; raise the limit (`ulimit -u`, or that of the container or job)",
    errno.EMFILE: _FILES,
    errno.ETOOMANYREFS: _FILES,
    errno.ENFILE: "too many files are open on this machine; end other programs",
    errno.ENOMEM: "memory ran out; end other programs",
}


def in_words(error: OSError) -> str:
    """What ran out and what to do about it; or, where it is something else, what the system says."""
    return _WHAT_RAN_OUT.get(error.errno or 0) or error.strerror or str(error)


def shortage_in(text: str) -> str | None:
    """What ran out according to the last words of a process, where they are about that."""
    return next((what for number, what in _WHAT_RAN_OUT.items() if os.strerror(number) in text), None)


def shortage(error: OSError, running: int) -> VideoError:
    """Why a decoder process cannot be set up while `running` others are there."""
    anything_else = (
        f"{error}; TMPDIR must be a folder with room, and {sys.executable or 'Python'} must be allowed to run"
    )
    what = _WHAT_RAN_OUT.get(error.errno or 0, anything_else)
    fewer = f", or use fewer `decoders`: {running} run" if running else ""
    return VideoError(f"decoder process {running + 1} cannot be set up: {what}{fewer}")
