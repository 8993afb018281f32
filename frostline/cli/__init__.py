"""The ``frostline`` command, one file per noun.

A result goes to the standard output, as a table or, with ``--json``, as JSON for
scripts; everything else goes to the standard error. The exit code is 0 if what was
asked for happened, 1 if it did not, 2 if it was not understood or no server answers.
"""

import sys

import typer

from frostline.cli import (
    advise,
    datasets,
    demo,
    doctor,
    jobs,
    models,
    search,
    train,
    up,
    zoos,
)
from frostline.cli.output import problem
from frostline.errors import FrostlineError, Unreachable

app = typer.Typer(
    name="frostline",
    help="Train networks on your own machines, and reuse their layers, frozen.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(up.up)
app.command()(train.train)
app.command()(advise.advise)
app.command()(doctor.doctor)
app.command()(demo.demo)
app.add_typer(datasets.app, name="datasets")
app.add_typer(jobs.app, name="jobs")
app.add_typer(models.app, name="models")
app.add_typer(search.app, name="search")
app.add_typer(zoos.app, name="zoos")


def main() -> None:
    """Run the command, and say in a sentence what went wrong if anything did."""
    try:
        app()
    except FrostlineError as error:
        problem(str(error))
        sys.exit(2 if isinstance(error, Unreachable) else 1)
