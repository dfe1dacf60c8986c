"""A program that imports each adapter first, in a fork of its own, and prints JSON: {module.

Problem or null}.
"""

import importlib
import json
import os
import sys
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

ADAPTERS = (
    "clipbert_mmf.plugin.builder",
    "clipbert_mmf.plugin.dataset",
    "clipbert_mmf.plugin.losses",
    "clipbert_mmf.plugin.metrics",
    "clipbert_mmf.plugin.model",
    "clipbert_mmf.plugin.schedules",
    "clipbert_mmf.plugin.processors",
    "clipbert_mmf.plugin.trainer",
    "clipbert_mmf.plugin.registration",
)


def import_first(module: str) -> str | None:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            importlib.import_module(module)
            from mmf.common.registry import registry

            for kind, name in (
                ("model", "clipbert"),
                ("builder", "msrvtt_retrieval"),
                ("loss", "clipbert_match"),
                ("metric", "clipbert_retrieval"),
                ("processor", "clipbert_video"),
                ("trainer", "clipbert"),
                ("processor", "clipbert_text"),
                ("scheduler", "clipbert_warmup_linear"),
            ):
                assert getattr(registry, f"get_{kind}_class")(name) is not None, (
                    f"{kind} {name} is not registered"
                )
        except BaseException:
            os.write(writer, traceback.format_exc().strip().splitlines()[-1].encode()[:2000] or b"failed")
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        problem = pipe.read().decode()
    os.waitpid(child, 0)
    return problem or None


if __name__ == "__main__":
    import omegaconf  # noqa: F401
    import sklearn.metrics  # noqa: F401
    import torchvision  # noqa: F401
    import transformers.models.bert.modeling_bert  # noqa: F401

    print(json.dumps({module: import_first(module) for module in ADAPTERS}))
