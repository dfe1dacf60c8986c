"""Any image network of timm as a backbone, through timm's ``features_only``.

timm is optional: ``pip install "timm>=1.0.9"``. Nothing is imported before such a backbone is built.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage]  # all kinds derive from it

from clipbert_mmf.configuration import ConfigurationError, InRange, OneOf, suggest
from clipbert_mmf.modules.activation_checkpointing import recompute_in_chunks
from clipbert_mmf.modules.backbones.folding import fold_frozen_norms
from clipbert_mmf.modules.backbones.pixels import Channels, check_pixel_options, normalize_pixels

logger = logging.getLogger(__name__)

#: Batch norms: with stored statistics that never change, or trained. Networks without them are as they are.
NORMS = {"frozen_batch": True, "batch": False}
#: Value of ``out_stage`` for what the classifier averages.
FINAL = "final"
#: Value of ``out_stage`` for that and the last stage, channel behind channel.
FINAL_AND_LAST = "final_and_last"
#: Names of features -> their stride.
STRIDES = {"res2": 4, "res3": 8, "res4": 16, "res5": 32}
#: Arguments of ``timm.create_model`` that other keys decide -> how.
_DECIDED = {
    **dict.fromkeys(
        ("features_only", "out_indices", "feature_cls"), "model_config.clipbert.backbone.out_stage decides"
    ),
    **dict.fromkeys(
        ("pretrained", "checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay"),
        "model_config.clipbert.weights.backbone decides: a file, pkg:..., or a name on the hub such as "
        "timm/convnext_tiny.fb_in1k",
    ),
    **dict.fromkeys(
        ("in_chans", "num_classes", "global_pool"), "is fixed: frames have 3 channels, and no class is told"
    ),
}
#: Arguments that let a network with a fixed image size read frames of any size; the first that it knows.
_ANY_SIZE: tuple[dict[str, Any], ...] = (
    {"dynamic_img_size": True, "dynamic_img_pad": True},
    {"dynamic_img_size": True},
    {"strict_img_size": False},
    {},
)


@dataclass(frozen=True)
class TimmOptions:
    """``model_config.clipbert.backbone`` with ``type: timm``.

    Attributes:
        name: timm's name of the network, such as ``convnext_tiny.fb_in1k``. The part behind the dot names the
            weights, on which mean and divisor of the pixels depend.
        out_stage: grid to use: res2 to res5 for the last one of stride 4, 8, 16, 32; or a number as in timm's
            ``out_indices``, -1 for the last. Null is the last. Layers behind it are not built. ``final`` is what
            the network's classifier averages: of an EfficientNet the 1x1 convolution behind the last stage
            (1280 channels of Lite0, where the last stage has 320). ``final_and_last`` has the channels of both.
        norm: frozen_batch keeps the statistics and factors of batch norms as they are loaded; batch trains
            them.
        freeze_at: number of parts that do not train: 1 is the stem, 2 everything up to stride 4, 3 up to
            stride 8, and so on; of a network of one stride (ViT) 2 is the stem and one block, 3 two blocks.
        pixel_mean: mean of R, G, B in grey levels; null is timm's for these weights.
        pixel_std: divisor of R, G, B in grey levels; null is timm's for these weights.
        bgr: the network wants blue first; timm's want red first.
        frames_per_chunk: with activation_checkpointing, frames that go through the network at once; null is 2
            on a CPU and 64 on a GPU. Norm ``batch`` needs all frames at once and checkpoints inside the network.
        model_args: further arguments of ``timm.create_model``, such as ``{drop_path_rate: 0.1}``.

    Raises:
        ConfigurationError: for pixels of another scale, or an argument that another key decides.
    """

    name: str
    out_stage: int | str | None = None
    norm: Annotated[str, OneOf(NORMS)] = "frozen_batch"
    freeze_at: Annotated[int, InRange(at_least=0)] = 2
    pixel_mean: Channels | None = None
    pixel_std: Channels | None = None
    bgr: bool = False
    frames_per_chunk: Annotated[int, InRange(at_least=1)] | None = None
    model_args: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        check_pixel_options(self.pixel_mean, self.pixel_std)
        for name in sorted(_DECIDED.keys() & self.model_args.keys()):
            raise ConfigurationError(
                f"model_config.clipbert.backbone.model_args has {name}={self.model_args[name]!r}, which "
                f"{_DECIDED[name]}; leave it out"
            )


class TimmFeatures(nn.Module):
    """Return one grid of an image network of timm.

    Mean and divisor of the pixels are saved with the weights.

    Args:
        options: which network, and its variant.
        recompute: whether the backward pass computes features again instead of keeping their inputs, a few
            frames at a time.

    Raises:
        ConfigurationError: if timm is not installed, or cannot build such a network.
    """

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(self, options: TimmOptions, recompute: bool = False):
        super().__init__()
        if options.out_stage in (FINAL, FINAL_AND_LAST):
            self.net: Any = _FinalGrid(options)
            #: Channels of each layer that the grid holds side by side.
            self.channel_blocks: tuple[int, ...] = self.net.channel_blocks
            self.out_channels: int = sum(self.channel_blocks)
        else:
            self.net = _create(options, out_indices=(_find_index(options),), **_FEATURES)
            self.out_channels = self.net.feature_info.channels()[-1]
            self.channel_blocks = (self.out_channels,)
        #: Mean and divisor are the user's, not timm's.
        self.has_own_pixels = options.pixel_mean is not None or options.pixel_std is not None
        mean, std = _choose_pixels(options, self.net.pretrained_cfg)
        self.register_buffer("pixel_mean", torch.tensor(mean).view(3, 1, 1))
        self.register_buffer("pixel_std", torch.tensor(std).view(3, 1, 1))
        self.bgr, self.name = options.bgr, options.name
        if NORMS[options.norm]:
            self.net = _import_timm().utils.model.freeze_batch_norm_2d(self.net)
            fold_frozen_norms(self.net)
        self.frames_per_chunk = options.frames_per_chunk
        self.recompute = recompute
        self.needs_all_frames = any(isinstance(part, _BatchNorm) for part in self.modules())
        if recompute and self.needs_all_frames:
            self.net.model.set_grad_checkpointing(True)
        frozen = _list_frozen(options)
        for name, parameter in self.net.named_parameters():
            if name in frozen:
                parameter.requires_grad_(False)
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  # PyTorch has no overload

    @property
    def full_names(self) -> dict[str, str]:
        """Return our names, as in ``state_dict``, with the names in the whole network of timm."""
        return {f"net.{name}": name.removeprefix(_PREFIX) for name in self.net.state_dict()}

    def forward(self, frames: Tensor) -> Tensor:
        """Return ``(F, C, h, w)`` for ``(F, 3, H, W)`` uint8 or float RGB frames, 0 to 255, padding included."""
        if not (self.recompute and self.training) or self.needs_all_frames:
            return self._encode(frames)
        return recompute_in_chunks(self._encode, frames, self.frames_per_chunk, owner=self)

    def _encode(self, frames: Tensor) -> Tensor:
        x = normalize_pixels(frames, self.pixel_mean, self.pixel_std, is_bgr=self.bgr)
        try:
            return self.net(x)[-1]
        except torch.OutOfMemoryError:
            raise
        except (AssertionError, RuntimeError) as error:
            height, width = frames.shape[-2:]
            if self._reads(height, width):
                raise
            size = self.net.pretrained_cfg.get("input_size", (3, 224, 224))[-1]
            raise ConfigurationError(
                f"model_config.clipbert.backbone.name is '{self.name}', which cannot read frames of {width}x{height}: "
                f"{error}; set image_size of the media processors to {size}, which its weights were trained with, or "
                f"choose another network"
            ) from error

    def _reads(self, height: int, width: int) -> bool:
        """Tell whether the network can read a black frame of a size."""
        try:
            with torch.no_grad():
                self.net(torch.zeros(1, 3, height, width, device=self.pixel_mean.device))
        except (AssertionError, RuntimeError):
            return False
        return True


class _FinalGrid(nn.Module):
    """Return the grid that the classifier of a network averages, in a list, with the extractor's names.

    With ``final_and_last`` the channels of the last stage are behind its own.

    Args:
        options: which network.

    Raises:
        ConfigurationError: if it averages no grid, such as a ViT, or has it in another order.
    """

    def __init__(self, options: TimmOptions):
        super().__init__()
        self.model = _create(options, num_classes=0, global_pool="")
        self.pretrained_cfg = self.model.pretrained_cfg
        self.adds_last = options.out_stage == FINAL_AND_LAST
        if self.adds_last:
            _read_features(options)
        with torch.device("meta"):
            probe = _create(options, num_classes=0, global_pool="").eval()
            shapes = [grid.shape for grid in self._encode(probe, torch.empty(1, 3, 224, 224))]
        if any(len(shape) != 4 or shape[1] < shape[3] or shape[2:] != shapes[0][2:] for shape in shapes):
            raise ConfigurationError(
                f"model_config.clipbert.backbone.out_stage is '{options.out_stage}', and '{options.name}' ends in "
                f"{' and '.join(str(tuple(shape)) for shape in shapes)} and not in channels, rows and columns; take a "
                "stage, or null for the last"
            )
        self.channel_blocks = tuple(int(shape[1]) for shape in shapes)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Return ``[(F, C, h, w)]``."""
        return [torch.cat(self._encode(self.model, pixels), 1)]

    def _encode(self, model: Any, pixels: Tensor) -> list[Tensor]:
        if not self.adds_last:
            return [model(pixels)]
        final, stages = model.forward_intermediates(pixels, indices=1)
        return [model.forward_head(final), stages[-1]]


#: Every network through the same extractor: channels come before rows and columns, and what is behind the
#: grid is left out.
_FEATURES: dict[str, Any] = {"features_only": True, "feature_cls": "getter"}
#: Beginning of the extractor's names.
_PREFIX = "model."


def _import_timm() -> Any:
    try:
        timm = importlib.import_module("timm")
        importlib.import_module("timm.data")
        importlib.import_module("timm.utils.model")
    except ImportError as error:
        raise ConfigurationError(
            "model_config.clipbert.backbone.type is 'timm', which needs the package timm: pip install "
            f'"timm>=1.0.9" ({error})'
        ) from None
    return timm


def _create(options: TimmOptions, **arguments: Any) -> Any:
    timm = _import_timm()
    if not timm.is_model(options.name):
        near = suggest(options.name.partition(".")[0], timm.list_models())
        raise ConfigurationError(
            f"model_config.clipbert.backbone.name is '{options.name}', which timm {timm.__version__} does not "
            f"know{near}; timm.list_models() has its names"
        )
    given, error = {**options.model_args, **arguments, "pretrained": False}, None
    for any_size in _ANY_SIZE:
        try:
            return timm.create_model(options.name, **{**any_size, **given})
        except TypeError as unknown_argument:
            error = unknown_argument
        except Exception as failure:  # timm raises any error for what a network does not support
            error = failure
            break
    raise ConfigurationError(
        f"model_config.clipbert.backbone: timm cannot build '{options.name}' with features_only and "
        f"{dict(options.model_args)}: {type(error).__name__}: {error}"
    )


def _read_features(options: TimmOptions) -> list[dict[str, Any]]:
    """Return timm's description of each grid: module, num_chs, reduction (its stride)."""
    with torch.device("meta"):
        network = _create(options)
    features = getattr(network, "feature_info", None)
    if not features or not hasattr(network, "forward_intermediates"):
        raise ConfigurationError(
            f"model_config.clipbert.backbone.name is '{options.name}', which gives no grids of features in "
            f"timm {_import_timm().__version__}; choose another network, such as convnext_tiny"
        )
    return list(features)


def _find_index(options: TimmOptions) -> int:
    """Return the index of the grid that ``out_stage`` means."""
    features, wanted = _read_features(options), options.out_stage
    if wanted is None:
        return len(features) - 1
    strides = [feature["reduction"] for feature in features]
    if isinstance(wanted, int) and -len(features) <= wanted < len(features):
        return wanted % len(features)
    if wanted in STRIDES and STRIDES[str(wanted)] in strides:
        return len(strides) - 1 - strides[::-1].index(STRIDES[str(wanted)])
    names = [name for name, stride in STRIDES.items() if stride in strides]
    allowed = [*names, f"-{len(features)} to {len(features) - 1}", FINAL, FINAL_AND_LAST]
    raise ConfigurationError(
        f"model_config.clipbert.backbone.out_stage is {wanted!r}; '{options.name}' has grids of stride "
        f"{strides}: allowed are {', '.join(allowed)}, or null for the last"
    )


def _list_frozen(options: TimmOptions) -> set[str]:
    """Return the extractor's names of the parameters that ``freeze_at`` keeps from training."""
    if not options.freeze_at:
        return set()
    features = _read_features(options)
    strides = [feature["reduction"] for feature in features]
    first = _list_parameters(options, 0)
    module = _PREFIX + str(features[0]["module"]) + "."
    stem = {name for name in first if not name.startswith(module)} or first
    if len(set(strides)) == 1:
        last = min(options.freeze_at - 2, len(features) - 1)
    else:
        last = max((n for n, stride in enumerate(strides) if stride <= 2**options.freeze_at), default=-1)
    if options.freeze_at == 1 or last < 0:
        return stem
    return stem | _list_parameters(options, last)


def _list_parameters(options: TimmOptions, index: int) -> set[str]:
    """Return the names of the parameters that the grid of an index is computed from."""
    with torch.device("meta"):
        network = _create(options, out_indices=(index,), **_FEATURES)
    return {name for name, _ in network.named_parameters()}


def _choose_pixels(options: TimmOptions, pretrained: Any) -> tuple[Channels, Channels]:
    """Return mean and divisor in grey levels: the user's where given, else timm's."""
    data = _import_timm().data.resolve_data_config({}, pretrained_cfg=pretrained)
    chosen: list[Channels] = []
    for name, own, known in (
        ("pixel_mean", options.pixel_mean, data["mean"]),
        ("pixel_std", options.pixel_std, data["std"]),
    ):
        grey = tuple(round(255 * float(value), 4) for value in known)
        if own is not None and any(abs(a - b) > 0.5 for a, b in zip(own, grey, strict=True)):
            logger.warning(
                "model_config.clipbert.backbone.%s is %s and is used; the weights of timm's '%s' were trained "
                "with %s, which null takes",
                name,
                list(own),
                options.name,
                list(grey),
            )
        chosen.append(own if own is not None else (grey[0], grey[1], grey[2]))
    return chosen[0], chosen[1]
