"""Reads command lines of ``mmf_run`` as JSON from stdin, has MMF configure each, and prints the errors as JSON."""

import argparse
import json
import sys


def main() -> None:
    """Print a JSON object: command line to error, of those that fail."""
    import mmf  # noqa: F401
    from mmf.utils.configuration import Configuration

    failed = {}
    for line, words in json.load(sys.stdin).items():
        words = [word for word in words if "=" in word]
        try:
            Configuration(argparse.Namespace(config_override=None, opts=words)).get_config()
        except Exception as error:
            failed[line] = f"{type(error).__name__}: {error}"
    print(json.dumps(failed))


if __name__ == "__main__":
    main()
