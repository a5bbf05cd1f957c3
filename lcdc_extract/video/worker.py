"""The child process that decodes: `python -m lcdc_extract.video.worker DESCRIPTOR PARENT`.

DESCRIPTOR is a socket to the parent, PARENT its process id.
decord and ffmpeg can crash, spin for ever holding the interpreter lock, or write to standard output; here none of that
reaches the user's process. Standard output and error are a file the parent gave us.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from multiprocessing.connection import Connection

from lcdc_extract.errors import VideoError
from lcdc_extract.video.messages import Job, Ready, Refused
from lcdc_extract.video.shortage import in_words

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Does one job after the other until the parent hangs up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole process group; the parent decides
    descriptor, parent = (int(argument) for argument in sys.argv[1:])
    _die_with(parent)
    connection = Connection(descriptor)
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            message = connection.recv()
            if isinstance(message, Job):  # a slot of the last video may still be freed after its end
                _do(message, connection)
                connection.send(Ready())


def _die_with(parent: int) -> None:
    """Has the kernel end us with our parent, even while native code spins."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it was faster
        sys.exit()


def _do(job: Job, connection: Connection) -> None:
    os.ftruncate(2, 0)
    os.lseek(2, 0, os.SEEK_SET)  # or the next line would follow zeros
    try:
        from lcdc_extract.video.decoding import decode  # inside: PyAV may be missing, or broken

        decode(job, connection)
    except ImportError as error:
        connection.send(Refused(f"PyAV cannot be loaded ({error}); `pip install av`"))
    except VideoError as error:
        connection.send(Refused(str(error)))
    except OSError as error:
        if isinstance(error, ConnectionError):
            raise
        connection.send(Refused(f"cannot read the file: {in_words(error)}"))


if __name__ == "__main__":
    main()
