"""``clipbert``: the table of subcommands, and what an error looks like. ``clipbert COMMAND --help`` has the arguments."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable
from typing import NamedTuple

from clipbert_mmf.cli import asking, demo, files
from clipbert_mmf.video.errors import MediaError


class Command(NamedTuple):
    """A subcommand.

    Attributes:
        about: one line of help.
        add_arguments: fills its parser.
        run: gets the parsed arguments; returns the exit status.
    """

    about: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


COMMANDS: dict[str, Command] = {
    "score": Command("how well captions fit a video", asking.add_score, asking.run_score),
    "answer": Command("the answer to a question about a video", asking.add_answer, asking.run_answer),
    "search": Command("the videos of a folder that fit a text best", asking.add_search, asking.run_search),
    "demo": Command("a local web page on which a model is asked about videos", demo.add_demo, demo.run_demo),
    "check": Command(
        "read every medium of a store, and report what is bad", files.add_check, files.run_check
    ),
    "inspect": Command(
        "what a file of weights is, and what it would fill", files.add_inspect, files.run_inspect
    ),
    "new-dataset": Command(
        "write the first files of a dataset of your own", files.add_new_dataset, files.run_new_dataset
    ),
}


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all subcommands."""
    parser = argparse.ArgumentParser(
        prog="clipbert", description="ClipBERT: ask trained models about videos."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        command.add_arguments(
            commands.add_parser(name, help=command.about, description=command.about.capitalize() + ".")
        )
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run a subcommand.

    Returns:
        0, or 1 with one line on stderr where a model, file or option cannot be used, or what a check found bad;
        2 for a wrong command line; 130 if interrupted.
    """
    options = make_parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        return COMMANDS[options.command].run(options)
    except (MediaError, ValueError, OSError, RuntimeError, TypeError, ImportError) as error:
        sys.stderr.write(f"clipbert {options.command}: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
