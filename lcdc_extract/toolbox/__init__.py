"""`lcdc`, the toolbox beside `lcdc-extract`: one file per subcommand; heavy imports happen inside the commands."""

from __future__ import annotations

from typing import Annotated

import typer

from lcdc_extract.terminal import show_version
from lcdc_extract.toolbox import weights
from lcdc_extract.toolbox.doctor import doctor
from lcdc_extract.toolbox.inspect import inspect
from lcdc_extract.toolbox.plot import plot
from lcdc_extract.toolbox.score import score
from lcdc_extract.toolbox.synth import synth
from lcdc_extract.toolbox.train import train
from lcdc_extract.toolbox.verify import verify

app = typer.Typer(
    help="Tools around lcdc-extract.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(inspect)
app.command()(verify)
app.command()(plot)
app.command()(score)
app.command()(train)
app.command()(synth)
app.command()(doctor)
app.add_typer(weights.app, name="weights")


@app.callback()
def _toolbox(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Tools around lcdc-extract."""


def main() -> None:
    """Entry point of `lcdc`."""
    app()
