"""What both command lines share: consoles, and the one place where errors become exit codes."""

from __future__ import annotations

import functools
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from types import FrameType
from typing import Any, ParamSpec, TypeVar, get_type_hints

import typer
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from lcdc_extract import __version__
from lcdc_extract.errors import LcdcError

FAILED_VIDEOS, BAD_INPUT, BUG, INTERRUPTED, NO_READER = 1, 2, 3, 130, 141
"""Exit codes: some videos failed; nothing could be done as asked; an error of this program; stopped by Ctrl-C; whoever
read the output has gone (as `head` does; shells give programs that SIGPIPE ends the same code)."""


class _Console(Console):
    """A console that leaves it to `plain_errors` what to do when nobody reads any more."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


out = _Console(markup=False, highlight=False)  # without markup: names of videos may hold [brackets]
err = _Console(stderr=True, markup=False, highlight=False)

SETTING = re.compile(r"`(?P<setting>[a-z][a-z0-9_]*)(?:=(?P<value>[^`]+))?`")
QUOTES = "\"'"

_OPTIONS: ContextVar[frozenset[str]] = ContextVar("options of the command that runs", default=frozenset())

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def plain_errors(command: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Wraps a command: errors meant for the user become text on stderr and exit code 2, without a traceback.

    Anything unexpected keeps its traceback and ends with exit code 3, so that it cannot pass for failed videos.
    """

    @functools.wraps(command)
    def wrapped(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        before = _OPTIONS.set(_options_of(command))
        try:
            return command(*args, **kwargs)
        except LcdcError as error:
            text = as_options(str(error))
            if err.is_terminal:
                err.print(Panel(Text(text), title="Error", title_align="left", border_style="red"))
            else:
                err.print(f"Error: {text}", soft_wrap=True)
            raise typer.Exit(BAD_INPUT) from None
        except (typer.Exit, typer.Abort):
            raise
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is buffered has nowhere to go
            raise typer.Exit(NO_READER) from None
        except Exception:
            traceback.print_exc()
            raise typer.Exit(BUG) from None
        finally:
            _OPTIONS.reset(before)

    return wrapped


def as_options(text: str, command: Callable[..., Any] | None = None) -> str:
    """A message of the library in the words of a command; None is the one that runs.

    The library names settings as Python does, `frame_step`, `decoder='av'` or `frames=False` in backquotes; where the
    command has such an option, that becomes --frame-step, --decoder av or --no-frames. Other backquotes stay.
    """
    options = _options_of(command) if command else _OPTIONS.get()

    def named(found: re.Match[str]) -> str:
        setting, value = found["setting"], found["value"]
        for name in (setting, setting.removesuffix("_seconds")):
            option = ("--no-" if value == "False" else "--") + name.replace("_", "-")
            if option in options:
                return option if value in (None, "True", "False") else f"{option} {value.strip(QUOTES)}"
        return found[0]

    return SETTING.sub(named, text)


def _options_of(command: Callable[..., Any]) -> frozenset[str]:
    """--frame-step and so on, as typer makes them of a function's parameters; a name that was given is in `default`."""
    found: set[str] = set()
    for name, hint in get_type_hints(command, include_extras=True).items():
        for note in getattr(hint, "__metadata__", ()):
            names = (getattr(note, "default", None), *(getattr(note, "param_decls", None) or ()))
            given = [text for text in names if isinstance(text, str)] or [f"--{name.replace('_', '-')}"]
            found.update(part for text in given for part in text.split("/"))
    return frozenset(found)


class _Terminated(KeyboardInterrupt):
    """A signal that stops the way Ctrl-C does: SIGTERM, as a cluster sends it, or SIGHUP, of a terminal that closes."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@contextmanager
def stoppable(what_is_kept: Callable[[], str]) -> Iterator[None]:
    """Ctrl-C, SIGTERM and SIGHUP end the block with a line of text on stderr and exit code 130, 143 or 129.

    Under `nohup`, SIGHUP stays without effect.
    """
    wanted = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) != signal.SIG_IGN]
    earlier = {number: signal.signal(number, _terminate) for number in wanted}
    try:
        yield
    except KeyboardInterrupt as stop:
        with suppress(OSError):  # the terminal may be gone
            err.print(what_is_kept(), soft_wrap=True)
        raise typer.Exit(128 + stop.number if isinstance(stop, _Terminated) else INTERRUPTED) from None
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise _Terminated(number)


def show_version(asked: bool) -> None:
    """Callback of --version."""
    if asked:
        typer.echo(f"lcdc-extract {__version__}")
        raise typer.Exit
