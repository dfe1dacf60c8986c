"""The table of verbs of ``clipbert`` and the handling of errors.

``clipbert VERB --help`` lists a verb's arguments.

A verb's arguments stand apart from its work, which is imported when they are right: help and errors of spelling appear
without PyTorch.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, cast

from clipbert_mmf.cli.printing import EscapingFormatter
from clipbert_mmf.cli.streams import PIPE_CLOSED, open_closed_streams, silence, write_output
from clipbert_mmf.configuration import ArgumentError, suggest
from clipbert_mmf.processes import let_idle_threads_sleep, pause_garbage_collection
from clipbert_mmf.shown_text import escape_text
from clipbert_mmf.version import __version__
from clipbert_mmf.video.errors import MediaError

#: Errors that tell a user what to change. Anything else is a defect and keeps its traceback.
EXPECTED_ERRORS = (MediaError, ValueError, OSError, RuntimeError, TypeError, ImportError)


class Verb(NamedTuple):
    """An entry of the table of verbs.

    Attributes:
        about: help in one line, lower case, without a full stop.
        module: name of the module in ``clipbert_mmf.cli`` that runs it, and in ``clipbert_mmf.cli.arguments``.
    """

    about: str
    module: str


class ArgumentsModule(Protocol):
    """Function that the module of a verb's arguments has."""

    add_arguments: Callable[[argparse.ArgumentParser], None]


class VerbModule(Protocol):
    """Function that the module of a verb has."""

    run: Callable[[argparse.Namespace], int]


VERBS: dict[str, Verb] = {
    "score": Verb("score how well captions fit a video", "score"),
    "answer": Verb("answer a question about a video", "answer"),
    "index": Verb("keep the embeddings of a library of videos for searches", "index"),
    "search": Verb("find the videos of an index or a folder that fit a text best", "search"),
    "embed": Verb("write embeddings of videos and texts to a file", "embed"),
    "demo": Verb("serve a local web page on which a model is asked about videos", "demo"),
    "check": Verb("read every medium of a store and report those that are bad", "check"),
    "check-data": Verb("count a prepared corpus and compare with its owner's counts", "check_data"),
    "build-store": Verb("pack a folder of videos into LMDB or tar shards, and back", "build_store"),
    "inspect": Verb("identify a file of weights and report what it would fill", "inspect"),
    "convert": Verb(
        "write a trained model as a folder, as weights of the released ClipBERT or as ONNX", "convert"
    ),
    "push": Verb("write a trained model with its card to the Hugging Face hub", "push"),
    "compare-precision": Verb("compare half precision with fp32 on media of your own", "compare_precision"),
    "train": Verb("train a model further on your own videos, through MMF", "train"),
    "predict": Verb("write the predictions of a run over its dataset, through MMF", "predict"),
    "evaluate": Verb("compute metrics from a file of predictions", "evaluate"),
    "report": Verb("write one HTML page about a run", "report"),
    "ablate": Verb("run a table or figure of the paper row by row", "ablate"),
    "reproduce": Verb("run a row of the paper's tables 7 to 9, paper against ours", "reproduce"),
    "compare": Verb("train models on the same data with the same budget", "compare"),
    "install-mmf": Verb("install MMF beside the libraries that are there", "install_mmf"),
    "new-dataset": Verb("write the first files of a dataset of your own", "new_dataset"),
}


def format_help() -> str:
    """Return the text that ``clipbert --help`` prints."""
    width = max(map(len, VERBS))
    rows = [f"  {name:<{width}}  {verb.about}" for name, verb in VERBS.items()]
    return "\n".join(
        [
            "usage: clipbert VERB ...",
            "",
            "ClipBERT: ask trained models about videos, and look after data, weights and runs.",
            "",
            "verbs:",
            *rows,
            "",
            "options:",
            f"  {'-h, --help':<{width}}  print this help; after a verb, print its arguments",
            f"  {'--version':<{width}}  print the version",
            "",
        ]
    )


def load_verb(name: str) -> tuple[argparse.ArgumentParser, Callable[[argparse.Namespace], int]]:
    """Import the arguments of a verb.

    Args:
        name: key of ``VERBS``.

    Returns:
        The parser of its arguments and the function that imports and runs it.
    """
    verb = VERBS[name]
    module = cast(ArgumentsModule, importlib.import_module(f"clipbert_mmf.cli.arguments.{verb.module}"))
    about = f"{verb.about[0].upper()}{verb.about[1:]}."
    parser = argparse.ArgumentParser(prog=f"clipbert {name}", description=about)
    module.add_arguments(parser)

    def run(options: argparse.Namespace) -> int:
        with pause_garbage_collection():
            work = cast(VerbModule, importlib.import_module(f"clipbert_mmf.cli.{verb.module}"))
        return work.run(options)

    return parser, run


def check_words(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """Leave the process with code 2 where ``argparse`` would take what nobody means, or name something else.

    A misspelt option, for which it would name the arguments that lack first; an option twice, of which it takes the
    last; an empty word, such as that of a variable that is not set, which would stand for the current folder.
    """
    known = {option: action for action in parser._actions for option in action.option_strings}
    given: set[str] = set()
    previous = ""
    for word in words:
        option, equals, value = word.partition("=")
        if word == "--":
            return
        if (not word and previous in known) or (option in known and equals and not value):
            parser.error(f"{option or previous} is empty; give a value, or leave it out")
        if " " not in option and option.startswith("--"):
            names = [option] if option in known else [name for name in known if name.startswith(option)]
            if not names:
                parser.error(f"no option '{option}'{suggest(option, known)}")
            is_value = len(names) == 1 and isinstance(known[names[0]], argparse._StoreAction)
            if is_value and names[0] in given:
                parser.error(f"{names[0]} is given more than once; give it once")
            given.add(names[0])
        previous = word


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb.

    Args:
        arguments: words of the command line; those of the process where it is None.

    Returns:
        0; 1 with one line on stderr where a model, file or option cannot be used, or where a check found bad
        media; 2 for a wrong command line; 130 if interrupted; 141 if the reader of standard output left. Without a
        verb the help is printed and 0 is returned.
    """
    if arguments is not None:
        return run_words(list(arguments))
    words = sys.argv[1:]
    if not open_closed_streams():
        sys.stderr.write("clipbert: standard output is closed; redirect it, for example with >/dev/null\n")
        return 1
    try:
        try:
            return run_words(words)
        finally:
            sys.stdout.flush()  # while an error of it can still be told
    except BrokenPipeError:
        silence(sys.stdout)
        return PIPE_CLOSED
    except OSError as error:  # of what was printed before a verb took over
        silence(sys.stdout)
        sys.stderr.write(f"clipbert: {error.strerror or error}\n")
        return 1


def run_words(words: list[str]) -> int:
    """Run a verb; see ``main``.

    Raises:
        BrokenPipeError: if the reader of standard output left.
    """
    if not words or words[0] in ("-h", "--help"):
        write_output(format_help())
        return 0
    if words[0] == "--version":
        write_output(f"clipbert_mmf {__version__}\n")
        return 0
    name = words[0]
    if name not in VERBS:
        allowed = ", ".join(VERBS)
        message = f"clipbert: no verb '{name}'{suggest(name, VERBS)}; allowed are {allowed}"
        sys.stderr.write(escape_text(message) + "\n")
        return 2
    let_idle_threads_sleep()
    handler = logging.StreamHandler()
    handler.setFormatter(EscapingFormatter("%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    names: dict[str, str] = {}
    try:
        parser, run = load_verb(name)
        names = {action.dest: option for action in parser._actions for option in action.option_strings}
        check_words(parser, words[1:])
        options = parser.parse_intermixed_args(words[1:])
        user_dir = getattr(options, "user_dir", None) or os.environ.get("MMF_USER_DIR")
        if user_dir and hasattr(options, "user_dir"):
            from clipbert_mmf.inference.user_packages import import_user_package

            import_user_package(user_dir)
        return run(options)
    except BrokenPipeError:
        raise
    except EXPECTED_ERRORS as error:
        told = error.describe(names) if isinstance(error, ArgumentError) else str(error)
        sys.stderr.write(escape_text(f"clipbert {name}: {told}", keeps="\n\t") + "\n")
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
