"""Options that every verb with a model shares, and the loading of the model that they name."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable

from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.inference.recipe import refuse_old_run
from clipbert_mmf.inference.settings import read_yaml
from clipbert_mmf.inference.sources import find_local_model
from clipbert_mmf.modules.heads import find_head
from clipbert_mmf.transforms.tokens import load_tokenizer

logger = logging.getLogger(__name__)


def check_model_options(options: argparse.Namespace, *checks: Callable[[], object]) -> None:
    """Raise what is wrong with the options of a model, and with other arguments; loads no model.

    Args:
        options: with the attributes of ``add_model_options``.
        checks: each raises what is wrong with another argument. A model or ``--config`` that is not there comes
            first.
    """
    find_local_model(options.model)
    if options.config:
        config = read_yaml(options.config)
        if "datasets" in config:  # of a run; the YAML of a project has no model of its own
            refuse_old_run(config, str(options.config))
    for check in checks:
        check()
    if options.tokenizer:
        load_tokenizer(options.tokenizer, "--tokenizer")


def load_model(options: argparse.Namespace, *checks: Callable[[], object]) -> ClipBert:
    """Load the model that the options name, after a look at everything else that they name.

    Args:
        options: with the attributes of ``add_model_options``, and of ``add_backend`` where the verb has it.
        checks: as of ``check_model_options``.
    """
    check_model_options(options, *checks)
    model = ClipBert.from_pretrained(
        options.model,
        device=options.device,
        config=options.config,
        dataset=options.dataset,
        tokenizer=options.tokenizer,
        answers=options.answers,
        backend=getattr(options, "backend", "auto"),
    )
    if hasattr(options, "backend") and find_head(model.head_type).predicts_words:
        logger.warning(
            "%s is a pre-training run: it has no head for retrieval or questions, and tells how well a caption fits "
            "%ss, nothing else. This trains one: clipbert train --from %s --data FOLDER_WITH_VIDEOS_AND_TABLE",
            options.model,
            model.preprocessing.media,
            options.model,
        )
    return model
