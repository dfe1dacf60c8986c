"""Describes the network: ``model_config.clipbert`` as frozen dataclasses, whose defaults are the paper's model.

``configs/models/clipbert/defaults.yaml`` repeats the defaults so that MMF can override them; a test compares
the two.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from clipbert_mmf.configuration import (
    REGISTERED,
    ConfigurationError,
    InRange,
    OneOf,
    choose,
    parse_config,
    parse_value,
    refuse_unknown_keys,
    to_plain,
)
from clipbert_mmf.modules.backbones.grid_resnet import GridResnetOptions
from clipbert_mmf.modules.backbones.registry import BACKBONES
from clipbert_mmf.modules.clip_fusion import CLIP_FUSIONS
from clipbert_mmf.modules.contrastive import CONTRASTIVE_HEADS, TOWER_INPUTS
from clipbert_mmf.modules.embedding import TEXT_FAMILIES, TextFamily
from clipbert_mmf.modules.heads import HEADS
from clipbert_mmf.modules.temporal_fusion import TEMPORAL_FUSIONS
from clipbert_mmf.scoring.clips import FOLDS

#: Key of the section in a configuration.
SECTION = "model_config.clipbert"


@dataclass(frozen=True)
class BackboneConfig:
    """Choose the network that turns frames into a grid.

    Attributes:
        type: a key of ``BACKBONES``.
        options: the other keys of the section, which depend on ``type``.
    """

    type: str = "grid_resnet"
    options: Any = field(default_factory=GridResnetOptions)

    @classmethod
    def from_section(cls, values: Any, where: str) -> BackboneConfig:
        """Parse the section; its keys are ``type`` and those of the type's options. Null counts as absent.

        The YAML that holds the defaults has null for the options of the types that come with this package, so
        that another type may have options of the same names. Runs of 0.2 hold the defaults of grid_resnet
        instead; those that the type does not read are left out.
        """
        given = {key: value for key, value in _as_section(values, where).items() if value is not None}
        name = str(given.pop("type", cls.type))
        kind = choose(f"{where}.type", name, BACKBONES, REGISTERED)
        known = {entry.name for entry in dataclasses.fields(kind.options)}
        given = _drop_defaults(given, GridResnetOptions(frames_per_chunk=2), known)
        _refuse_options_of_others(given, name, known, where)
        return cls(name, parse_config(kind.options, given, where))


def _refuse_options_of_others(given: Mapping[str, Any], name: str, known: set[str], where: str) -> None:
    """Raise ``ConfigurationError`` for options that another type of backbone reads and this one does not."""
    owners = {
        key: other
        for key in given
        for other, kind in BACKBONES.items()
        if key not in known and key in {entry.name for entry in dataclasses.fields(kind.options)}
    }
    if owners:
        key = next(iter(owners))
        nulls = " ".join(f"{where}.{other}=null" for other in owners)
        raise ConfigurationError(
            f"{where}.{key} is {given[key]!r}, and backbone.type '{name}' does not read it; it has "
            f"{', '.join(sorted(known))}. Set {nulls}, or {where}.type={owners[key]}"
        )


@dataclass(frozen=True)
class GridEncoderConfig:
    """Choose what follows the backbone.

    Attributes:
        pool: whether the grid is halved; small frames keep theirs.
    """

    pool: bool = True


@dataclass(frozen=True)
class TransformerConfig:
    """Sizes of the text embedding, the visual embedding and the cross-encoder.

    Attributes:
        type: family of text encoders: bert, roberta, xlm-roberta or camembert. The last three count positions
            from 2, pad with id 1 and have one token type.
        hidden_size: D.
        num_layers: layers of the cross-encoder.
        num_heads: attention heads; ``hidden_size`` is a multiple of them.
        intermediate_size: width of a layer's feed-forward part.
        vocab_size: rows of the word embedding; the tokenizer may not have more words.
        max_positions: longest text in tokens.
        dropout: share of values that training drops.
        layer_norm_eps: added to a variance before it is divided by; null is 1e-12 for bert, 1e-5 for the
            others.
        init_std: spread of random weights; small networks learn sooner with a larger one.
        max_rows: tallest grid.
        max_columns: widest grid.
    """

    type: Annotated[str, OneOf(TEXT_FAMILIES)] = "bert"
    hidden_size: Annotated[int, InRange(at_least=1)] = 768
    num_layers: Annotated[int, InRange(at_least=1)] = 12
    num_heads: Annotated[int, InRange(at_least=1)] = 12
    intermediate_size: Annotated[int, InRange(at_least=1)] = 3072
    vocab_size: Annotated[int, InRange(at_least=1)] = 30522
    max_positions: Annotated[int, InRange(at_least=1)] = 512
    dropout: Annotated[float, InRange(at_least=0, at_most=1)] = 0.1
    layer_norm_eps: Annotated[float, InRange(above=0)] | None = None
    init_std: Annotated[float, InRange(above=0)] = 0.02
    max_rows: Annotated[int, InRange(at_least=1)] = 100
    max_columns: Annotated[int, InRange(at_least=1)] = 100

    @property
    def family(self) -> TextFamily:
        """How the family of ``type`` embeds texts."""
        return TEXT_FAMILIES[self.type]

    @property
    def epsilon(self) -> float:
        """``layer_norm_eps``, or the family's."""
        return self.layer_norm_eps if self.layer_norm_eps is not None else self.family.layer_norm_eps

    def __post_init__(self) -> None:
        if self.hidden_size % self.num_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} is not a multiple of num_heads {self.num_heads}"
            )


@dataclass(frozen=True)
class HeadConfig:
    """Choose the head.

    Attributes:
        type: a key of ``HEADS``: match (retrieval), classify (open-ended QA), choose (multiple choice),
            choose_by_match (multiple choice with the weights of match), regress (counts), pretrain (MLM and
            ITM), or one of your own.
        num_answers: number of outputs, for a type that leaves it open; null counts the answers of the
            training data.
        mean: regress: approximate mean of the training answers, where its output starts.
        std: regress: approximate spread of the training answers.
        options: further keys that a head of your own reads.
    """

    type: str = "match"
    num_answers: Annotated[int, InRange(at_least=1)] | None = None
    mean: float = 0.0
    std: Annotated[float, InRange(above=0)] = 1.0
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @classmethod
    def from_section(cls, values: Any, where: str) -> HeadConfig:
        """Parse the section; its keys are the attributes and, for a head of your own, the type's settings."""
        return cls(**_parse_head(cls, values, where))


@dataclass(frozen=True)
class DatasetHeadConfig(HeadConfig):
    """Choose the head of one dataset, in a run over several.

    Attributes:
        fold: as ``fold`` of the model, which is used for null.
        shares: another dataset whose head is used; null makes a head of its own.
    """

    fold: Annotated[str, OneOf(FOLDS, REGISTERED)] | None = None
    shares: str | None = None


@dataclass(frozen=True)
class ContrastiveConfig:
    """A second head that embeds texts and videos on their own; ``evaluation.rerank_top_k`` uses it.

    Attributes:
        weight: weight of its loss (symmetric InfoNCE over the batches of all processes); 0 makes no such
            head.
        size: length of the embeddings.
        type: rows reads the cross-encoder's rows; towers reads mean features of the backbone and mean rows of
            the text, so that ``training.first_stage`` can fit it to a frozen network.
        width: towers: width of the layers between.
        dropout: towers: share of values that training drops.
        input_dropout: towers: the same of their inputs; None for ``dropout``.
        inputs: towers: layer_norm normalizes each input; standardized gives each layer that is read unit length
            (a video's after the square root of each value, where none is negative) and each value mean 0 and
            deviation 1 over the training split, as ``training.first_stage`` finds them.
        text_layers: towers: layers of the transformer whose mean rows of a text stand side by side, 0 for the
            embeddings, 1 for the first layer; None for the last one alone.
        num_members: towers: pairs of towers side by side, each with ``size / num_members`` of the values; a dot
            product is the mean of theirs.
        has_linear_member: towers: whether the last pair is linear, as ``training.first_stage`` finds it from
            correlations; it weighs as much as all others together.
        joins_scores: towers: whether the scaled dot product of a clip and a text is added to the pair's
            score, so that the cross-encoder learns what the dot product lacks.
        replaces_scores: towers with joins_scores: whether that is the whole score: the cross-encoder reads no
            pair, and a loss of scores trains the towers and the networks behind them.
        hard_negatives: videos, and as many texts, that training chooses from the batch for every matching
            text, likelier the larger their dot product; 0 leaves the texts that the dataset drew.
    """

    weight: Annotated[float, InRange(at_least=0)] = 0.0
    size: Annotated[int, InRange(at_least=1)] = 256
    type: Annotated[str, OneOf(CONTRASTIVE_HEADS)] = "rows"
    width: Annotated[int, InRange(at_least=1)] = 1024
    dropout: Annotated[float, InRange(at_least=0, at_most=1)] = 0.1
    input_dropout: Annotated[float, InRange(at_least=0, at_most=1)] | None = None
    inputs: Annotated[str, OneOf(TOWER_INPUTS)] = "layer_norm"
    text_layers: tuple[Annotated[int, InRange(at_least=0)], ...] | None = None
    num_members: Annotated[int, InRange(at_least=1)] = 1
    has_linear_member: bool = False
    joins_scores: bool = False
    replaces_scores: bool = False
    hard_negatives: Annotated[int, InRange(at_least=0)] = 0

    def __post_init__(self) -> None:
        if self.joins_scores and self.type != "towers":
            raise ValueError(
                f"joins_scores is true with type '{self.type}', which has no dot product of a clip; set type to towers"
            )
        if self.replaces_scores and not self.joins_scores:
            raise ValueError("replaces_scores is true and joins_scores false; set both to true")
        if self.type != "towers" and (self.num_members > 1 or self.has_linear_member):
            raise ValueError(
                f"num_members is {self.num_members} and has_linear_member {self.has_linear_member} with type "
                f"'{self.type}', which has no towers; set type to towers"
            )
        if self.text_layers is not None and (self.type != "towers" or not self.text_layers):
            raise ValueError(
                f"text_layers is {list(self.text_layers)} with type '{self.type}'; it names at least one layer that "
                "towers read, so set type to towers, or text_layers to null"
            )
        if self.size % self.num_members:
            raise ValueError(
                f"size is {self.size}, which num_members ({self.num_members}) does not divide; set size to "
                f"{self.num_members * max(1, self.size // self.num_members)}"
            )
        unused = [name for name in ("joins_scores", "hard_negatives") if getattr(self, name)]
        if unused and not self.weight:
            raise ValueError(
                f"{unused[0]} is {getattr(self, unused[0])} with weight 0, which makes no contrastive head; "
                "set weight to 1"
            )


@dataclass(frozen=True)
class ImageNormalizationConfig:
    """Undo the normalisation of MMF's own datasets, which give ``image`` instead of ``frames``.

    Attributes:
        mean: what their image processor subtracted from R, G, B of 0 to 1. Float images need it.
        std: what their image processor divided by.
    """

    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class WeightsConfig:
    """Files to start from; null starts from random weights.

    Attributes:
        clipbert: a checkpoint of ours, a converted folder, or a released ClipBERT.
        backbone: a ResNet.
        transformer: a Hugging Face BERT: folder, file, or name on the hub.
        strict: whether anything missing, left over or of another shape is an error. A run that only tests or
            predicts is always strict.
        allow_random: whether a run that only tests or predicts may have weights that no file holds.
    """

    clipbert: str | None = None
    backbone: str | None = None
    transformer: str | None = None
    strict: bool = False
    allow_random: bool = False


@dataclass(frozen=True)
class FreezeConfig:
    """Parts that do not train (Table 6).

    Attributes:
        backbone: the backbone; the grid encoder trains on.
        transformer: the embeddings and the cross-encoder; heads train on.
    """

    backbone: bool = False
    transformer: bool = False


@dataclass(frozen=True)
class LearningRateFactorsConfig:
    """Factors of the run's learning rate.

    Attributes:
        backbone: factor for the backbone and the grid encoder.
        transformer: factor for everything else.
    """

    backbone: Annotated[float, InRange(at_least=0)] = 1.0
    transformer: Annotated[float, InRange(at_least=0)] = 1.0


def _paper_losses() -> tuple[Any, ...]:
    return ({"type": "clipbert_match"},)


@dataclass(frozen=True)
class ModelConfig:
    """Everything of ``model_config.clipbert``.

    Attributes:
        backbone: turns frames into a grid.
        grid_encoder: brings the grid to the transformer's width.
        temporal_fusion: mean, conv3d or conv2plus1d (Table 2): how the frames of a clip become one grid.
        transformer: sizes of the embeddings and the cross-encoder.
        head: turns encoded pairs into scores.
        heads: in runs over several datasets, the head of each, instead of ``head``.
        fold: mean, max, lse (Table 3), sum, or one of your own: how the scores of clips become one.
        clip_fusion: fold scores each clip and folds the scores (the paper's); concat reads the visual tokens
            of all clips with the text at once (early fusion).
        contrastive: a second head that embeds texts and videos on their own.
        pixel_random_sampling: grid positions that pre-training keeps at random; 0 keeps all.
        pairs_per_chunk: clip-text combinations that go through the transformer at once in evaluation; None
            is 64 on a CPU and 1024 on a GPU.
        activation_checkpointing: training keeps fewer results and computes them again for the gradient.
        image_normalization: undoes the normalisation of MMF's own datasets.
        weights: files to start from.
        freeze: parts that do not train.
        learning_rate_factors: factors of the run's learning rate.
        losses: MMF's list of losses.
    """

    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    grid_encoder: GridEncoderConfig = field(default_factory=GridEncoderConfig)
    temporal_fusion: Annotated[str, OneOf(TEMPORAL_FUSIONS)] = "mean"
    transformer: TransformerConfig = field(default_factory=TransformerConfig)
    head: HeadConfig = field(default_factory=HeadConfig)
    heads: dict[str, DatasetHeadConfig] = field(default_factory=dict[str, DatasetHeadConfig])
    fold: Annotated[str, OneOf(FOLDS, REGISTERED)] = "lse"
    clip_fusion: Annotated[str, OneOf(CLIP_FUSIONS)] = "fold"
    contrastive: ContrastiveConfig = field(default_factory=ContrastiveConfig)
    pixel_random_sampling: Annotated[int, InRange(at_least=0)] = 0
    pairs_per_chunk: Annotated[int, InRange(at_least=1)] | None = None
    activation_checkpointing: bool = False
    image_normalization: ImageNormalizationConfig = field(default_factory=ImageNormalizationConfig)
    weights: WeightsConfig = field(default_factory=WeightsConfig)
    freeze: FreezeConfig = field(default_factory=FreezeConfig)
    learning_rate_factors: LearningRateFactorsConfig = field(default_factory=LearningRateFactorsConfig)
    losses: tuple[Any, ...] = field(default_factory=_paper_losses)

    def list_losses(self) -> list[str]:
        """Return the registered names of the losses."""
        names: list[str] = []
        for loss in self.losses:
            names.append(loss if isinstance(loss, str) else str(loss["type"]))
        return names


def parse_model_config(section: Mapping[str, Any] | None, where: str = SECTION) -> ModelConfig:
    """Parse ``model_config.clipbert``.

    Args:
        section: the section; absent keys keep the paper's values. The key ``model``, which MMF adds, is
            ignored.
        where: dotted key of the section, for messages.

    Raises:
        ConfigurationError: for an unknown key, a value of another type, or one that is not allowed.
    """
    given = _as_section(section, where)
    given.pop("model", None)
    # A head of its own for each dataset; MMF cannot merge an empty section away, so null counts as none.
    given["heads"] = given.get("heads") or {}
    config = parse_config(ModelConfig, given, where)
    _check_shared_heads(config, where)
    _check_text_layers(config, where)
    return config


def dump_model_config(config: ModelConfig) -> dict[str, Any]:
    """Return the section from which ``parse_model_config`` gives the same configuration, as plain values for JSON."""
    section: dict[str, Any] = to_plain(dataclasses.asdict(config))
    for part in (section["backbone"], section["head"], *section["heads"].values()):
        part.update(part.pop("options"))
    return section


def _check_shared_heads(config: ModelConfig, where: str) -> None:
    owners = {name: head for name, head in config.heads.items() if not head.shares}
    for name, head in config.heads.items():
        owner = choose(f"{where}.heads.{name}.shares", head.shares or name, owners)
        own, other = HEADS[head.type], HEADS[owner.type]
        if (own.num_outputs, own.make, own.settings) != (other.num_outputs, other.make, other.settings):
            raise ConfigurationError(
                f"{where}.heads.{name}.type is '{head.type}', but it shares the head of '{head.shares}', "
                f"which is "
                f"'{owner.type}': their outputs differ"
            )


def _check_text_layers(config: ModelConfig, where: str) -> None:
    layers, count = config.contrastive.text_layers or (), config.transformer.num_layers
    if any(layer > count for layer in layers) or len(set(layers)) < len(layers):
        raise ConfigurationError(
            f"{where}.contrastive.text_layers is {list(layers)}; expected different numbers from 0 (the embeddings) "
            f"to {count} ({where}.transformer.num_layers)"
        )


def _parse_head(cls: type[HeadConfig], values: Any, where: str) -> dict[str, Any]:
    """Return the arguments of ``HeadConfig`` or a subclass."""
    given = _as_section(values, where)
    name = str(given.get("type", cls.type))
    kind = choose(f"{where}.type", name, HEADS, REGISTERED)
    fields = {entry.name for entry in dataclasses.fields(cls)} - {"options"}
    own = {key: given.pop(key) for key in kind.settings if key not in fields and key in given}
    given = _drop_defaults(given, HeadConfig(), fields - ({"mean", "std"} - set(kind.settings)))
    for key in sorted({"mean", "std"} & given.keys() - set(kind.settings)):
        readers = ", ".join(name for name, other in HEADS.items() if key in other.settings)
        raise ConfigurationError(
            f"{where}.{key} is {given[key]!r}, and {where}.type '{name}' does not read it; it goes with {readers}"
        )
    refuse_unknown_keys(where, given, (fields - {"mean", "std"}) | set(kind.settings))
    parsed = parse_config(cls, given, where)
    return {**vars(parsed), "options": to_plain(own)}


def _as_section(values: Any, where: str) -> dict[str, Any]:
    return dict(parse_value(dict, values if values is not None else {}, where))


def _drop_defaults(given: dict[str, Any], defaults: Any, kept: set[str]) -> dict[str, Any]:
    """Leave out keys that are not in ``kept`` and have their default value."""
    plain = to_plain(dataclasses.asdict(defaults))
    return {
        key: value
        for key, value in given.items()
        if key in kept or key not in plain or to_plain(value) != plain[key]
    }
