"""Runs several command lines of ``mmf_run``, each in a fork of a process that has imported the libraries once.

A name that ends in ``.predicted`` is a command line of ``mmf_predict``.

Arguments: a JSON file with {name: [options]}. The output of each goes to ``<file>.<name>.log``, the numbers
    that MMF keeps of
the last evaluation of each split to ``<file>.<name>.metrics``; exit codes are printed.
"""

import json
import os
import sys
import traceback
from pathlib import Path

import mmf  # noqa: F401
import sklearn.metrics  # noqa: F401
import tensorboard  # noqa: F401
from mmf.common.registry import registry
from mmf.utils.env import setup_imports
from mmf_cli.predict import predict
from mmf_cli.run import run

import clipbert_mmf  # noqa: F401

setup_imports()
plan = Path(sys.argv[1])
codes = {}
for name, options in json.loads(plan.read_text()).items():
    child = os.fork()
    if child == 0:
        log = os.open(f"{plan}.{name}.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        try:
            sys.argv[1:] = options  # mmf_predict reads the command line alone
            predict() if name.endswith(".predicted") else run()
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
        kept = registry.get("metrics", {}, no_warning=True)
        numbers = {
            name: float(value)
            for splits in kept.values()
            for values in splits.values()
            for name, value in values.items()
        }
        Path(f"{plan}.{name}.metrics").write_text(json.dumps(numbers))
        sys.stdout.flush()
        os._exit(0)
    codes[name] = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print(json.dumps(codes))
