"""Settings in the library's messages become the options of the command that runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest
import typer

from lcdc_extract.errors import LcdcError
from lcdc_extract.terminal import as_options, plain_errors


@plain_errors
def command(
    file: Annotated[Path, typer.Argument()],
    frame_step: Annotated[int, typer.Option(help="a name that typer makes")] = 1,
    place: Annotated[Path | None, typer.Option("--out", help="a name that was given")] = None,
    pictures: Annotated[bool, typer.Option("--pictures/--no-pictures")] = True,
) -> None:
    raise LcdcError(str(file))


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("`frame_step` is 0", "--frame-step is 0"),
        ("try `frame_step=2`", "try --frame-step 2"),
        ("`out=/a b/c` is there", "--out /a b/c is there"),
        ("`place` is no name of an option", "`place` is no name of an option"),
        ("try `pictures=False`", "try --no-pictures"),
        ("try `pictures=True`", "try --pictures"),
        ("`device='cpu'`, see `lcdc doctor`", "`device='cpu'`, see `lcdc doctor`"),
    ],
)
def test_settings_become_options(message: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit):
        command(Path(message))
    assert capsys.readouterr().err == f"Error: {expected}\n"
    assert as_options(message) == message, "no command runs"
