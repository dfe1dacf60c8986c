"""Binds a run to the model that it tests or goes on with: its answers, its tokenizer, its preprocessing.

A run that trains describes what it trains with; a run that tests, predicts or resumes reads that description
in the checkpoint and uses it, whatever lies around. What the command line sets against it is an error, where
scores would mean nothing, or is told in one line.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from mmf.common.registry import registry
from mmf.utils.configuration import get_mmf_env
from omegaconf import OmegaConf
from torch import Tensor

from clipbert_mmf.annotations.sources import find_file
from clipbert_mmf.configuration import ConfigurationError, parse_config, to_plain
from clipbert_mmf.inference.recipe import (
    TOKENIZER_FOLDER,
    describe_difference,
    read_answers,
)
from clipbert_mmf.models.config import SECTION, HeadConfig, ModelConfig, dump_model_config, parse_model_config
from clipbert_mmf.modules.heads import HEADS
from clipbert_mmf.plugin import weight_source
from clipbert_mmf.plugin.weight_fill import HOW_TO_GIVE
from clipbert_mmf.training.distributed import get_rank
from clipbert_mmf.transforms.tokens import StoredTokenizer, TextOptions, keep_tokenizer, load_tokenizer
from clipbert_mmf.video.clips import MACHINE_OPTIONS, MEDIA_OPTIONS
from clipbert_mmf.weights.answer_rows import reorder_answers
from clipbert_mmf.weights.loading import PARTS, find_weights
from clipbert_mmf.weights.trained_with import KEY, TrainedDataset, TrainedWith
from clipbert_mmf.writing import naming

logger = logging.getLogger(__name__)

#: Settings of processors that are of a machine, not of a model.
_OF_MACHINE = {"tokenizer", *MACHINE_OPTIONS}
#: Keys of the model that change scores and no shape, and may be set anew for a test.
_ADJUSTABLE = (
    "fold",
    "backbone.pixel_mean",
    "backbone.pixel_std",
    "backbone.bgr",
    "image_normalization.mean",
    "image_normalization.std",
)
#: Keys of the model that do not change the scores of trained weights, or whose shapes tell.
_FREE = (
    "weights.",
    "freeze.",
    "learning_rate_factors.",
    "losses",
    "pairs_per_chunk",
    "activation_checkpointing",
    "pixel_random_sampling",
    "contrastive.",
    "transformer.dropout",
    "transformer.init_std",
    "transformer.vocab_size",
    "transformer.max_",
    "backbone.freeze_at",
    "backbone.frames_per_chunk",
)
#: Processors whose settings travel -> the dataclass of their ``params``.
_PROCESSORS: dict[str, type[Any]] = {
    "clipbert_text": TextOptions,
    **{f"clipbert_{media}": options for media, options in MEDIA_OPTIONS.items()},
}
_TRAVELLING = ("text_processor", "eval_media_processor")


@dataclass
class RunModel:
    """The model of one run: where it comes from, and what it is read and answered with.

    Attributes:
        run: MMF's configuration.
        trains: whether ``run_type`` trains.
        source: file that the weights of a test or of a resumed run come from; None where training begins anew.
        resumes: whether ``source`` is loaded through ``checkpoint.*``, after the model is built.
        trained: what ``source`` says about its model.
        datasets: description of what this run uses, by dataset.
    """

    run: Any
    trains: bool
    source: Path | None = None
    resumes: bool = False
    trained: TrainedWith | None = None
    datasets: dict[str, TrainedDataset] = field(default_factory=dict[str, TrainedDataset])
    _told: set[str] = field(default_factory=set[str])

    @property
    def allows_random(self) -> bool:
        """Whether weights that no file holds may stay random in a run that does not train."""
        return bool(OmegaConf.select(self.run, f"{SECTION}.weights.allow_random"))

    @property
    def is_bound(self) -> bool:
        """Whether all weights must come from ``source``."""
        return not self.allows_random and (self.source is not None or not self.trains)

    def is_typed(self, key: str) -> bool:
        """Return whether the command line sets a key, or a section with it."""
        configuration: Any = registry.get("configuration", None, no_warning=True)
        options = list(getattr(getattr(configuration, "args", None), "opts", None) or ())
        if options and not any("=" in str(option) for option in options):  # MMF takes keys and values in turn
            options = [f"{name}={value}" for name, value in zip(options[::2], options[1::2], strict=False)]
        return any(_sets(str(option), key) for option in options)

    def tell(self, subject: str, message: str) -> None:
        """Log a message once, though MMF's release builds every split with a builder of its own."""
        if subject not in self._told:
            self._told.add(subject)
            logger.info("%s", message)

    # ---- datasets

    def bind_dataset(self, name: str, section: Any, root: Path) -> tuple[Any, tuple[str, ...]]:
        """Return a dataset's section with the tokenizer and the preprocessing of the trained model, and its answers.

        Args:
            name: registry key of the dataset.
            section: ``dataset_config.<name>``.
            root: its data directory.

        Raises:
            ConfigurationError: if the command line sets another tokenizer or other answers; names both.
        """
        if self.source is None:
            return section, ()
        trained = self.trained and self.trained.find(name)
        if not trained:
            self._tell_unknown(name)
            return section, self._find_saved_answers(name)
        plain, where = to_plain(section), f"dataset_config.{name}"
        parts = [f"{len(trained.answers)} answers"] if trained.answers else []
        changes: list[str] = []
        self._require_answers(trained, plain.get("answers"), f"{where}.answers", root, changes)
        if self._bind_tokenizer(trained, plain, where, changes):
            parts.append("tokenizer")
        # A training that goes on follows the settings of now, and says which are new.
        if self.trained is not None and not self.trains:
            is_own = name in self.trained.datasets
            self._bind_processors(trained, plain, where, changes, is_own)
            parts.append("preprocessing" if is_own else "frame size")
        told = f"{name}: {_join(parts) or 'nothing'} of {self.source} are used"
        self.tell(name, f"{told}; {'; '.join(changes)}" if changes else told)
        return OmegaConf.create(plain), trained.answers

    def _tell_unknown(self, name: str) -> None:
        self.tell(
            name,
            f"{name}: {self.source} does not say which answers, tokenizer and preprocessing it was trained with "
            f"(it has no {KEY}); those of this configuration are used",
        )

    def _find_saved_answers(self, name: str) -> tuple[str, ...]:
        """Return the answers that a run of before saved beside its checkpoint."""
        if self.trained is not None or self.source is None:
            return ()
        for folder in (self.source.parent, self.source.parent.parent):
            file = folder / f"answers_{name}.json"
            if file.is_file():
                self.tell(f"{name} answers", f"{name}: the answers are those of {file}")
                return read_answers(file)
        return ()

    def _require_answers(
        self, trained: TrainedDataset, setting: Any, where: str, root: Path, changes: list[str]
    ) -> None:
        """Refuse another vocabulary on the command line."""
        if not trained.answers or not setting:
            return
        setting = {"file": setting} if isinstance(setting, str) else setting
        file, limit = setting.get("file"), setting.get("num_answers")
        is_other = file != trained.answers_file and self.is_typed(f"{where}.file")
        try:
            given = read_answers(find_file(root, str(file), f"{where}.file")) if file else trained.answers
        except (ValueError, OSError):
            if is_other:
                raise
            given = trained.answers
        if given != trained.answers and is_other:
            raise ConfigurationError(
                f"{where}.file={file} has {describe_difference(given, trained.answers)} than those that the model "
                f"in {self.source} was trained with; leave the option out, the model knows its answers"
            )
        if given != trained.answers:
            changes.append(f"{where}.file={file} has others now")
        if limit and limit < len(trained.answers) and self.is_typed(f"{where}.num_answers"):
            raise ConfigurationError(
                f"{where}.num_answers is {limit} and the model in {self.source} was trained with "
                f"{len(trained.answers)} answers; leave the option out"
            )

    def _bind_tokenizer(
        self, trained: TrainedDataset, plain: dict[str, Any], where: str, changes: list[str]
    ) -> bool:
        """Put the trained tokenizer in the place of the configured one."""
        key = "processors.text_processor.params.tokenizer"
        configured, stored = _find_tokenizer_name(plain), trained.tokenizer
        if configured is None or stored is None:
            return False
        is_other = configured != trained.tokenizer_name and self.is_typed(f"{where}.{key}")
        # A name of the hub is looked up only where somebody asks for it.
        given = (
            StoredTokenizer.of(load_tokenizer(configured, f"{where}.{key}"))
            if is_other
            else _read_if_there(configured)
        )
        differs = given is not None and given.identity != stored.identity
        if is_other and (differs or given is None):
            raise ConfigurationError(
                f"{where}.{key}={configured} ({given.num_words if given else 'unknown'} words) is another tokenizer "
                f"than '{trained.tokenizer_name}' ({stored.num_words} words), which the model in {self.source} was "
                f"trained with; leave the option out, the checkpoint has its tokenizer"
            )
        if differs:
            changes.append(f"'{configured}' holds another tokenizer now")
        plain["processors"]["text_processor"]["params"]["tokenizer"] = keep_tokenizer(
            stored, str(self.source)
        )
        return True

    def _bind_processors(
        self,
        trained: TrainedDataset,
        plain: dict[str, Any],
        where: str,
        changes: list[str],
        is_own: bool,
    ) -> None:
        """Put the trained settings in the place of those that the command line does not set.

        Of another dataset than the trained one, only the size of the frames is the model's.
        """
        for name in _TRAVELLING:
            given = (plain.get("processors") or {}).get(name) or {}
            own = trained.processors.get(name) or {}
            kind = _PROCESSORS.get(str(given.get("type")))
            if kind is None or given.get("type") != own.get("type"):
                continue
            place = f"{where}.processors.{name}.params"
            params = given.setdefault("params", {})
            now, then = (
                to_plain(asdict(parse_config(kind, {**values, **_tokenizer_of(kind, values)}, place)))
                for values in (params, own.get("params") or {})
            )
            for key in sorted(set(then) - _OF_MACHINE):
                if now[key] == then[key] or not (is_own or key == "image_size"):
                    continue
                if self.is_typed(f"{place}.{key}"):
                    changes.append(f"but {name} {key}={now[key]} as typed, trained with {then[key]}")
                else:
                    params[key] = then[key]
                    changes.append(f"{name} {key}={then[key]}, not {now[key]}")

    def find_answers(self, name: str) -> tuple[str, ...]:
        """Return the answers that another split of a dataset was given; empty before the first."""
        return self.datasets[name].answers if name in self.datasets else ()

    def describe_dataset(
        self,
        name: str,
        task: str,
        configured: Mapping[str, Any],
        processors: Mapping[str, Any],
        text_processor: Any,
        answers: Mapping[str, int],
    ) -> None:
        """Note what a dataset is read with, and let a run that trains keep it in its folder.

        Args:
            name: registry key of the dataset.
            task: name of its task.
            configured: its section, as configured.
            processors: its processors, as they are used.
            text_processor: encodes its texts.
            answers: answer to index; empty where the task has none.
        """
        if name in self.datasets:
            return
        setting = configured.get("answers")
        tokenizer = getattr(text_processor, "tokenizer", None)
        tokenizer_name = _find_tokenizer_name(configured)
        kept = {key: to_plain(processors[key]) for key in _TRAVELLING if processors.get(key)}
        if tokenizer_name is not None:
            kept["text_processor"]["params"]["tokenizer"] = tokenizer_name
        self.datasets[name] = TrainedDataset(
            task,
            tuple(sorted(answers, key=lambda answer: answers[answer])),
            setting if isinstance(setting, str) else (setting or {}).get("file"),
            None if tokenizer is None else StoredTokenizer.of(tokenizer),
            tokenizer_name or "",
            kept,
        )
        if self.trains and get_rank() == 0:
            self._write_tokenizer(name)

    def _write_tokenizer(self, name: str) -> None:
        """Keep the tokenizer with the run; datasets with others get a folder each."""
        stored = self.datasets[name].tokenizer
        if stored is None:
            return
        first = next((row.tokenizer for row in self.datasets.values() if row.tokenizer), stored)
        suffix = "" if first.identity == stored.identity else f"_{name}"
        folder = Path(get_mmf_env("save_dir")) / f"{TOKENIZER_FOLDER}{suffix}"
        kept = _read_if_there(str(folder))
        if kept is None or kept.identity != stored.identity:
            tokenizer = stored.load()
            with naming(folder):
                folder.mkdir(parents=True, exist_ok=True)
                tokenizer.save_pretrained(str(folder))

    def require_room(self, name: str, text_processor: Any) -> None:
        """Refuse a tokenizer with more words than the model has embeddings.

        Raises:
            ConfigurationError: with both numbers.
        """
        rows = OmegaConf.select(self.run, f"{SECTION}.transformer.vocab_size")
        words = getattr(text_processor, "num_ids", None)
        if not weight_source.is_ours(self.run) or rows is None or words is None:
            return
        key = f"dataset_config.{name}.processors.text_processor.params.tokenizer"
        tokenizer = text_processor.options.tokenizer
        if words > rows:
            raise ConfigurationError(
                f"{key} is '{tokenizer}' with {words} words, and the model has embeddings for {rows}: set "
                f"{SECTION}.transformer.vocab_size={words}, or give the tokenizer that the weights were trained with"
            )
        if 2 * words < rows and self.source is None:
            self.tell(
                f"{name} words",
                f"{name}: the tokenizer '{tokenizer}' has {words} words and the model embeddings for {rows}; the "
                f"rest is never used ({SECTION}.transformer.vocab_size={words} leaves it out)",
            )

    # ---- the model

    def fit_weights(
        self,
        tensors: Mapping[str, Tensor],
        own: Mapping[str, Tensor],
        trained: TrainedWith | None,
        source: str,
    ) -> dict[str, Tensor]:
        """Return a trained model's weights for a run that begins anew with answers and a tokenizer of its own.

        Args:
            tensors: of the trained model.
            own: of the network.
            trained: what the file says about its model.
            source: the file, for messages.
        """
        if trained is None or not self.trains:
            return dict(tensors)
        theirs = {name: found for name in self.datasets if (found := trained.find(name)) is not None}
        for name, other in theirs.items():
            here = self.datasets[name].tokenizer
            if here is not None and other.tokenizer is not None and here.identity != other.tokenizer.identity:
                logger.warning(
                    "%s was trained with another tokenizer, '%s' (%d words), than '%s' (%d words) of %s: its word "
                    "embeddings are those of other words; "
                    "dataset_config.%s.processors.text_processor.params.tokenizer=<its run>/%s keeps them",
                    *(source, other.tokenizer_name, other.tokenizer.num_words),
                    *(self.datasets[name].tokenizer_name, here.num_words, name, name, TOKENIZER_FOLDER),
                )
        answers = {name: dataset.answers for name, dataset in self.datasets.items() if dataset.answers}
        changed, known = reorder_answers(
            tensors, own, {name: other.answers for name, other in theirs.items()}, answers
        )
        for name, number in known.items():
            logger.info(
                "%s: %d of %d answers keep what %s learned of them; the others begin anew",
                *(name, number, len(answers[name]), source),
            )
        return changed

    def bind_model(self, settings: ModelConfig, datasets: Sequence[str]) -> ModelConfig:
        """Return the model's settings with those of the trained model that its weights do not tell.

        Args:
            settings: as configured.
            datasets: of the run.

        Raises:
            ConfigurationError: for a setting with which the weights would compute something else; names both.
        """
        if self.trained is None or not self.trained.model:
            return settings
        theirs = parse_model_config(self.trained.model, f"the model in {self.source}")
        if self.trains:
            return self._bind_answers(settings, theirs)
        settings = self._bind_answers(self._bind_heads(settings, theirs, datasets), theirs)
        now, then = _flatten(dump_model_config(settings)), _flatten(dump_model_config(theirs))
        epsilon = "transformer.layer_norm_eps"  # null is the family's
        now[epsilon], then[epsilon] = settings.transformer.epsilon, theirs.transformer.epsilon
        kinds: list[tuple[str, HeadConfig, HeadConfig | None]] = [
            (f"heads.{name}.", head, theirs.heads.get(name)) for name, head in settings.heads.items()
        ]
        if not settings.heads and not theirs.heads:
            kinds.append(("head.", settings.head, theirs.head))
        same_kind = [place for place, own, other in kinds if other and _is_same_kind(own.type, other.type)]
        changes: dict[str, Any] = {}
        told: list[str] = []
        for key in sorted(set(now) & set(then)):
            if now[key] == then[key] or key.startswith(_FREE) or key.endswith((".num_answers", ".shares")):
                continue
            if key.startswith(("head.", "heads.")):
                place = key.rpartition(".")[0] + "."
                if not any(place == one for one, _, _ in kinds):
                    continue  # one head there, several here: the names of the weights tell
                if key.endswith(".type") and place in same_kind:
                    continue
            is_of_head = key.startswith(("head.", "heads.")) and key.endswith((".fold", ".mean", ".std"))
            if key not in _ADJUSTABLE and not is_of_head:
                if self.allows_random:
                    continue
                raise ConfigurationError(
                    f"{SECTION}.{key} is {now[key]} and the model in {self.source} was trained with {then[key]}; set "
                    f"{SECTION}.{key}={then[key]} (weights.allow_random=true uses the weights that fit all the same)"
                )
            if self.is_typed(f"{SECTION}.{key}"):
                told.append(f"{key}={now[key]} as typed, trained with {then[key]}")
            else:
                changes[key] = then[key]
                told.append(f"{key}={then[key]} of {self.source} is used, not {now[key]}")
        if told:
            self.tell("model", f"model: {'; '.join(told)}")
        section = dump_model_config(settings)
        for key, value in changes.items():
            _set(section, key, value)
        return parse_model_config(section) if changes else settings

    def _bind_heads(self, settings: ModelConfig, theirs: ModelConfig, datasets: Sequence[str]) -> ModelConfig:
        """Take the heads of a model of several datasets, where one of them is tested on its own."""
        if settings.heads or not theirs.heads or not set(datasets) <= set(theirs.heads):
            return settings
        self.tell("heads", f"model: the heads of {self.source} are used, {', '.join(theirs.heads)}")
        return replace(settings, heads=theirs.heads)

    def _bind_answers(self, settings: ModelConfig, theirs: ModelConfig) -> ModelConfig:
        """Take the number of outputs of each head from the trained model."""

        def bind(head: Any, other: Any, where: str) -> Any:
            if other is None:
                return head
            wanted = other.num_answers
            if wanted is None or not _is_same_kind(head.type, other.type) or head.num_answers == wanted:
                return head
            if head.num_answers is not None and self.is_typed(f"{SECTION}.{where}.num_answers"):
                raise ConfigurationError(
                    f"{SECTION}.{where}.num_answers is {head.num_answers} and the model in {self.source} was trained "
                    f"with {wanted}; leave the option out"
                )
            return replace(head, num_answers=wanted)

        if settings.heads:
            heads = {
                name: bind(head, theirs.heads.get(name), f"heads.{name}")
                for name, head in settings.heads.items()
            }
            return replace(settings, heads=heads)
        return settings if theirs.heads else replace(settings, head=bind(settings.head, theirs.head, "head"))

    def describe(self, settings: ModelConfig | None) -> TrainedWith:
        """Return what this run's model is trained with; ``settings`` is None for a model of another kind."""
        model: dict[str, Any] = {}
        if settings is not None:
            model = dump_model_config(settings)
            model.pop("weights")
        return TrainedWith(dict(self.datasets), model)


# ---- the run of this process

_CURRENT: list[RunModel] = []


def find_run_model(run: Any) -> RunModel:
    """Return the model of a run, found once.

    Args:
        run: MMF's configuration.

    Raises:
        ConfigurationError: if a run that does not train has no weights, or those that it names are not there.
    """
    if not _CURRENT or _CURRENT[0].run is not run:
        _CURRENT[:] = [_find(run)]
    return _CURRENT[0]


def _find(run: Any) -> RunModel:
    run_type = str(OmegaConf.select(run, "run_type") or "train")
    model = RunModel(run, trains="train" in run_type)
    resumed = weight_source.find_resumed(run, model.trains)
    given = [part for part in PARTS if OmegaConf.select(run, f"{SECTION}.weights.{part}")]
    if resumed is not None:
        model.source, model.resumes = resumed, True
    elif not model.trains and "clipbert" in given:
        model.source = find_weights(str(OmegaConf.select(run, f"{SECTION}.weights.clipbert")))
    elif not model.trains and not given and not model.allows_random and weight_source.is_ours(run):
        raise ConfigurationError(
            f"run_type={run_type} does not train, and no weights are given: {HOW_TO_GIVE}"
        )
    if model.source is not None:
        model.trained = weight_source.read_description(model.source)
    return model


# ---- small parts


def _sets(option: str, key: str) -> bool:
    name, _, text = option.partition("=")
    if name == key:
        return True
    if not key.startswith(f"{name}."):
        return False
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return False
    rest = key[len(name) + 1 :].split(".")
    while rest and isinstance(value, Mapping):
        if rest[0] not in value:
            return False
        value = value[rest.pop(0)]
    # A text in the place of a section stands for its only entry, as ``answers=file.json``.
    return not rest or (isinstance(value, str) and rest == ["file"])


def _find_tokenizer_name(section: Mapping[str, Any]) -> str | None:
    """Return the configured tokenizer; None where a processor of MMF's encodes texts."""
    try:
        name = section["processors"]["text_processor"]["params"]["tokenizer"]
    except (KeyError, TypeError):
        return None
    return None if name is None else str(name)


def _read_if_there(name: str) -> StoredTokenizer | None:
    if not Path(name).expanduser().exists():
        return None
    try:
        return StoredTokenizer.of(load_tokenizer(name))
    except ValueError:
        return None


def _tokenizer_of(kind: type[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    return {"tokenizer": values.get("tokenizer") or "-"} if kind is TextOptions else {}


def _is_same_kind(first: str, second: str) -> bool:
    """Return whether two types of head have the same outputs, so that one's weights are the other's."""
    kinds = [HEADS.get(first), HEADS.get(second)]
    return first == second or (
        None not in kinds
        and len({(kind.num_outputs, kind.make, kind.settings) for kind in kinds if kind is not None}) == 1
    )


def _flatten(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat.update(_flatten(value, f"{before}{key}."))
        else:
            flat[f"{before}{key}"] = to_plain(value)
    return flat


def _set(section: dict[str, Any], key: str, value: Any) -> None:
    *path, last = key.split(".")
    for name in path:
        section = section[name]
    section[last] = value


def _join(parts: list[str]) -> str:
    return " and ".join([*([", ".join(parts[:-1])] if parts[1:] else []), *parts[-1:]])
