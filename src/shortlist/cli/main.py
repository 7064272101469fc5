"""The group of commands, and how errors are shown.

Exit codes: 0 done, 1 the command could not do what was asked (bad data, a bundle that is refused), 2 the command line
itself was wrong, 3 trained, but a condition of --promote-if does not hold, 130 interrupted. ``daily`` also has 4, no new
data, and 5, another run of the link is in progress.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import warnings
from typing import Any, TextIO

import rich_click as click

from shortlist._public import __version__
from shortlist.cli.console import INTERRUPTED, message_to_person
from shortlist.cli.refusals import flush_output, output_refusal, refusal
from shortlist.cli.spoken import HEADINGS, asked_language, in_language, in_words, speaking_commands, texts_of
from shortlist.cli.wording import for_command_line, wrapped
from shortlist.errors import ConfigError, MissingExtraError, ShortlistError, ShortlistWarning, nearest
from shortlist.language import from_environment, shown, speaking, translated

__all__ = ["COMMANDS", "FRONT", "HEADINGS", "PURPOSE", "cli", "main", "texts_of"]

SPINS = "1000"
"""How often a thread of torch looks for work before it sleeps. GNU OpenMP looks for milliseconds, which takes the processor from
other programs: with one other process on two cores an epoch took five times as long, with this twice (docs/decisions/046)."""

COMMANDS = {
    "demo": "Run everything on MovieLens: data, training, evaluation, index, bundle.",
    "train": "Train on a table of interactions and write a bundle.",
    "plan": "Forecast memory and time of training on a large table, from a sample.",
    "evaluate": "Measure a bundle on test interactions, next to popularity.",
    "compare-logged": "Estimate how a bundle would have done on lists that were shown.",
    "report": "Write an HTML report for a bundle.",
    "recommend": "Print the top k for query ids.",
    "serve": "Serve a bundle over HTTP, with a web page.",
    "mcp": "Offer a bundle to an assistant, as tools of the Model Context Protocol.",
    "impressions": "Write a server's log of lists shown, with their clicks, as a table.",
    "promote": "Point a link, such as current, at a bundle.",
    "rollback": "Point that link at the bundle before.",
    "daily": "Train, compare, promote and clean up, once a day, from a configuration file.",
    "clean": "Remove the bundles, shards and checkpoints that a link no longer needs.",
    "recommend-all": "Write the top k for every query, as Parquet.",
    "index": "Copy a bundle's candidates into a vector database and switch an alias to them.",
    "export": "Add ONNX towers to a bundle, to serve without torch.",
    "import-tfrs": "Turn the tables of a trained TensorFlow Recommenders model into a bundle.",
    "doctor": "Print versions, devices, and which indexes and extras can be used here.",
    "schema": "Print the JSON Schema of a recipe, for editors.",
    "tune": "Give a bundle the fastest index that reaches a recall.",
}

PURPOSE = "Turn a table of who chose what into the top k for everyone."

FRONT = """\
shortlist turns a table of who chose what into the top k for everyone.

  shortlist demo                                  the whole job on MovieLens
  shortlist train ratings.parquet …               train on your own table
  shortlist evaluate my.shortlist test.parquet    accuracy, next to popularity
  shortlist report my.shortlist -o report.html    verdict, charts, examples: one page
  shortlist recommend my.shortlist 42 --k 10      raw ids in, raw ids out
  shortlist serve my.shortlist                    over HTTP, with a page
  shortlist COMMAND --help                        every option of a command

For example:

  shortlist train ratings.parquet --query user_id --candidate movie_id \\
      --out my.shortlist
  shortlist recommend my.shortlist 42"""


class _Lazy(click.RichGroup):
    """Lists its commands without importing them, so that ``--help`` is immediate; a module is read when it is run."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; an interrupt at any time ends it with one line and the code of one."""
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            raise in_words(error) from None
        except KeyboardInterrupt:
            message_to_person(f"\n{shown('interrupted')}")
            sys.exit(INTERRUPTED)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            raise in_words(error) from None

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A placeholder with the command's name and line of help, or None for an unknown command."""
        return click.Command(cmd_name, help=translated(COMMANDS[cmd_name])) if cmd_name in COMMANDS else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and not args[0].startswith("-") and not ctx.resilient_parsing:
            near = nearest(args[0].lower(), COMMANDS)
            if near is None:
                raise click.UsageError(f"No such command {args[0]!r}.", ctx=ctx)
            raise click.UsageError(f"No such command {args[0]!r}. Did you mean {near!r}?", ctx=ctx)
        name, found, rest = super().resolve_command(ctx, args)
        if name is None or found is None:
            return name, found, rest
        command: click.Command = importlib.import_module(f"shortlist.cli.{name.replace('-', '_')}").command
        return name, in_language(command), rest


@click.group(
    cls=_Lazy, invoke_without_command=True, help=PURPOSE, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(__version__, prog_name="shortlist", help="Print the version.")
@click.option(
    "--lang",
    metavar="CODE",
    expose_value=False,
    help="Language of help and messages: en or ko (default: the locale's).",
)
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Without a command, print the commands and an example."""
    if ctx.invoked_subcommand is None:
        click.echo(translated(FRONT))


def main() -> None:
    """Run the command line; a user's mistake ends with a message and an exit code, a bug of ours with a traceback."""
    warnings.showwarning = _show_warning
    os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
    try:
        code, arguments = asked_language(sys.argv[1:])
        with speaking_commands(code):
            _run(arguments)
    except ConfigError as error:  # of the language itself
        with speaking(from_environment()):
            _complain("error", error.message, error.hint)
        sys.exit(1)
    finally:
        _let_go(sys.stderr)


def _run(arguments: list[str]) -> None:
    try:
        try:
            in_language(cli)(arguments, standalone_mode=True)
        finally:
            flush_output()
    except ShortlistError as error:
        _complain("error", error.message, error.hint)
        sys.exit(1)
    except ModuleNotFoundError as missing:
        if missing.name != "torch":
            raise
        absent = MissingExtraError("torch", "train", "this command")
        _complain("error", absent.message, absent.hint)
        sys.exit(1)
    except BrokenPipeError:  # the reader of our output has gone (`| head`)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        refused = output_refusal(error) or refusal(error)
        _let_go(sys.stdout)
        if refused is None:
            raise
        _complain("error", refused.message, refused.hint)
        sys.exit(1)


def _let_go(stream: TextIO | None) -> None:
    """Drop what a stream holds and cannot write: Python would try again at its end, and change the exit code."""
    if stream is None:
        return
    with contextlib.suppress(AttributeError, OSError, ValueError):  # it is closed, or no file of the system
        try:
            stream.flush()
        except OSError:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)
            stream.flush()


def _complain(label: str, message: str, hint: str | None) -> None:
    colour = (
        {"error": "red", "warning": "yellow"}[label] if sys.stderr.isatty() and "NO_COLOR" not in os.environ else None
    )
    for name, text, style in ((label, message, {"fg": colour, "bold": True}), ("hint", hint, {"fg": "cyan"})):
        if text and (said := for_command_line(shown(text))):
            label_shown = translated(name)
            _, _, rest = wrapped(f"{label_shown}: {said}").partition(":")
            message_to_person(f"{click.style(label_shown, **style) if colour else label_shown}:{rest}")


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: Any = None,
) -> None:
    if issubclass(category, ShortlistWarning):
        text, _, hint = str(message).partition("\nhint: ")
        _complain("warning", text, hint or None)
