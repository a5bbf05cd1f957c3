"""What both command lines share: consoles, and the one place where errors become exit codes."""

from __future__ import annotations

import functools
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from lcdc_extract import __version__
from lcdc_extract.errors import LcdcError

FAILED_VIDEOS, BAD_INPUT, BUG, INTERRUPTED = 1, 2, 3, 130
"""Exit codes: some videos failed; nothing could be done as asked; an error of this program; stopped by Ctrl-C."""

out = Console(markup=False, highlight=False)  # without markup: names of videos may hold [brackets]
err = Console(stderr=True, markup=False, highlight=False)

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def plain_errors(command: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Wraps a command: errors meant for the user become text on stderr and exit code 2, without a traceback.

    Anything unexpected keeps its traceback and ends with exit code 3, so that it cannot pass for failed videos.
    """

    @functools.wraps(command)
    def wrapped(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        try:
            return command(*args, **kwargs)
        except LcdcError as error:
            if err.is_terminal:
                err.print(Panel(Text(str(error)), title="Error", title_align="left", border_style="red"))
            else:
                err.print(f"Error: {error}", soft_wrap=True)
            raise typer.Exit(BAD_INPUT) from None
        except (typer.Exit, typer.Abort, BrokenPipeError):
            raise
        except Exception:
            traceback.print_exc()
            raise typer.Exit(BUG) from None

    return wrapped


class _Terminated(KeyboardInterrupt):
    """SIGTERM, as a cluster sends it: stops the way Ctrl-C does."""


@contextmanager
def stoppable(what_is_kept: Callable[[], str]) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the block with a line of text on stderr and exit code 130 or 143."""
    earlier = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    except KeyboardInterrupt as stop:
        err.print(what_is_kept(), soft_wrap=True)
        raise typer.Exit(128 + signal.SIGTERM if isinstance(stop, _Terminated) else INTERRUPTED) from None
    finally:
        signal.signal(signal.SIGTERM, earlier)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise _Terminated


def show_version(asked: bool) -> None:
    """Callback of --version."""
    if asked:
        typer.echo(f"lcdc-extract {__version__}")
        raise typer.Exit
