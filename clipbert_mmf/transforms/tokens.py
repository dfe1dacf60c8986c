"""Turns texts into WordPiece ids, ``[CLS] text [SEP]`` padded to one length (paper section 3).

The processor that feeds training and ``inference`` both encode here, so that they read a text alike.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import torch

from clipbert_mmf.configuration import OneOf
from clipbert_mmf.paths import PACKAGE_PREFIX, find_in_package
from clipbert_mmf.shapes import TokenBatch
from clipbert_mmf.transforms.text import join_question_and_option

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


#: Values of ``TextOptions.cut``, and whether options stay whole.
CUTS = {"question": True, "end": False}


@dataclass(frozen=True)
class TextOptions:
    """Settings of encoding texts.

    Attributes:
        tokenizer: directory, ``pkg:<package>/<directory>`` of an installed package, or name of a model of the
            Hugging Face hub.
        max_length: tokens of a text, ``[CLS]`` and ``[SEP]`` included.
        cut: what is cut where a question and an option together are longer: ``question``, so that options
            stay apart, or ``end``, as the released code does.

    Raises:
        ValueError: without a tokenizer, or for a length below 1.
    """

    tokenizer: str | None = None
    max_length: int = 20
    cut: Annotated[str, OneOf(CUTS)] = "question"

    def __post_init__(self) -> None:
        if not self.tokenizer:
            raise ValueError("tokenizer is empty; give a tokenizer directory or a hub name")
        if self.max_length < 1:
            raise ValueError(f"max_length is {self.max_length}; expected a whole number of at least 1")


#: Special tokens that texts are encoded with: argument of a tokenizer -> its usual spelling.
_SPECIAL_TOKENS = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
#: Files that say how a folder's words are split; a ``vocab.txt`` beside none of them is read as BERT's.
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "config.json")


@dataclass(frozen=True)
class StoredTokenizer:
    """A tokenizer as text, which travels in a checkpoint.

    Attributes:
        content: JSON of the library ``tokenizers``, without cutting and padding.
        special_tokens: argument of a tokenizer, such as ``mask_token``, and its token.
    """

    content: str
    special_tokens: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase) -> StoredTokenizer | None:
        """Return a tokenizer as text; None for one that is written in Python."""
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None:
            return None
        content = json.loads(backend.to_str()) | {"truncation": None, "padding": None}
        tokens = [(key, getattr(tokenizer, key, None)) for key in sorted(_SPECIAL_TOKENS)]
        return cls(
            json.dumps(content, ensure_ascii=False),
            tuple((key, str(token)) for key, token in tokens if token),
        )

    @functools.cached_property
    def identity(self) -> str:
        """SHA-256 of what decides the ids of a text, in hexadecimal."""
        content = json.loads(self.content)
        added = sorted((token["id"], token["content"]) for token in content.get("added_tokens") or ())
        kept = [content.get(key) for key in ("model", "normalizer", "pre_tokenizer")]
        text = json.dumps([kept, added, self.special_tokens], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def num_words(self) -> int:
        """Number of words."""
        return count_words(self.load())

    def load(self) -> PreTrainedTokenizerBase:
        """Make the tokenizer."""
        return _make_stored(self)


@functools.lru_cache(maxsize=8)
def _make_stored(stored: StoredTokenizer) -> PreTrainedTokenizerBase:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer.from_str(stored.content)
    return PreTrainedTokenizerFast(tokenizer_object=backend, **dict(stored.special_tokens))  # pyright: ignore[reportArgumentType]


#: Tokenizers of checkpoints by the name that they are asked for by.
_STORED: dict[str, StoredTokenizer] = {}


def keep_tokenizer(stored: StoredTokenizer, source: str) -> str:
    """Make a checkpoint's tokenizer known to ``load_tokenizer``, and return its name there.

    Args:
        stored: the tokenizer.
        source: the checkpoint, for messages.
    """
    name = f"the tokenizer in {source} ({stored.identity[:12]})"
    _STORED[name] = stored
    return name


def count_words(tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the rows that a table of words needs for a tokenizer: one more than its largest id."""
    return max(tokenizer.get_vocab().values(), default=-1) + 1


def load_tokenizer(name_or_dir: str, where: str = "the model's tokenizer") -> PreTrainedTokenizerBase:
    """Load a fast Hugging Face tokenizer, once per process.

    Args:
        name_or_dir: a directory, a ``vocab.txt``, ``pkg:<package>/<directory>`` of an installed package, a name
            of the hub, or one that ``keep_tokenizer`` gave.
        where: key or option that named it, for messages.

    Raises:
        FileNotFoundError: if a package is not installed or has no tokenizer.
        ValueError: if it is none of them, or has no ``[MASK]``.
    """
    if name_or_dir in _STORED:
        return _STORED[name_or_dir].load()
    if name_or_dir.startswith(PACKAGE_PREFIX):
        name_or_dir = str(find_in_package(name_or_dir, where, ("tokenizer.json", "vocab.txt")))
    folder = Path(name_or_dir).expanduser()
    if folder.is_file():
        folder = folder.parent
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    # Files that were replaced since are another tokenizer.
    state = tuple((file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in files)
    try:
        return _load_tokenizer(str(folder) if files else name_or_dir, state)
    except OSError as error:
        what = "this directory holds no tokenizer" if folder.is_dir() else "no such directory or hub name"
        raise ValueError(
            f"{where} is '{name_or_dir}': {what}. Give a directory with tokenizer.json or vocab.txt, or a model name "
            f"of the Hugging Face hub such as 'bert-base-uncased' ({str(error).partition('. Should have a')[0]})"
        ) from error


@functools.lru_cache(maxsize=4)
def _load_tokenizer(name_or_dir: str, state: tuple[tuple[str, int, int], ...]) -> PreTrainedTokenizerBase:
    try:
        tokenizer = _open_tokenizer(name_or_dir, {name for name, _, _ in state})
    except ValueError as error:
        raise OSError(str(error)) from error
    if tokenizer.mask_token_id is None or tokenizer.cls_token_id is None:
        raise ValueError(f"tokenizer '{name_or_dir}' is not BERT-like: it lacks [MASK] or [CLS]")
    return tokenizer


def _open_tokenizer(name_or_dir: str, files: set[str]) -> PreTrainedTokenizerBase:
    # A second of start-up, which only those who encode texts pay.
    from transformers import AutoTokenizer, BertTokenizerFast, PreTrainedTokenizerFast

    path = Path(name_or_dir).expanduser()
    if "vocab.txt" in files and not files.intersection(_TOKENIZER_FILES):
        # The vocabulary of a cased BERT has capital letters in its words; the special ones have them always.
        words = (path / "vocab.txt").read_text(encoding="utf-8").splitlines()
        missing = sorted(set(_SPECIAL_TOKENS.values()) - set(words))
        if missing:
            raise ValueError(f"{path / 'vocab.txt'} lacks {', '.join(missing)}")
        is_cased = any(word != word.lower() for word in words if not word.startswith("["))
        return BertTokenizerFast.from_pretrained(str(path), do_lower_case=not is_cased)
    if "tokenizer.json" in files and not files.intersection(_TOKENIZER_FILES[1:]):
        tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(path / "tokenizer.json"))
        known = tokenizer.get_vocab()
        tokenizer.add_special_tokens({key: token for key, token in _SPECIAL_TOKENS.items() if token in known})
        return tokenizer
    if not path.exists():
        _require_hub(name_or_dir)
    return AutoTokenizer.from_pretrained(name_or_dir, use_fast=True)


#: Longest wait for the hub, when a tokenizer is not in the cache; its client would try for half a minute.
_HUB_WAIT_SEC = 5.0


def _require_hub(name: str) -> None:
    """Raise ``OSError`` at once where a name of the hub is not in the cache and the hub cannot be reached."""
    from huggingface_hub import HfApi, constants, try_to_load_from_cache

    cached = (
        try_to_load_from_cache(name, file)
        for file in ("tokenizer.json", "vocab.txt", "tokenizer_config.json")
    )
    if constants.HF_HUB_OFFLINE or any(isinstance(place, str) for place in cached):
        return  # transformers needs no network, or says itself that it may not use it
    try:
        HfApi().model_info(name, timeout=_HUB_WAIT_SEC)
    except OSError as error:
        # A name that the hub does not have is transformers' to tell.
        if getattr(error, "response", None) is None:
            raise OSError(
                f"it is not in the cache of Hugging Face, and {constants.ENDPOINT} cannot be reached: without a "
                f"network, copy the tokenizer's folder here and give its path, or fill the cache where there is one: "
                f"hf download {name}"
            ) from error


def encode_texts(tokenizer: PreTrainedTokenizerBase, texts: list[str], max_length: int) -> TokenBatch:
    """Encode ``N`` texts; longer ones are cut so that ``[SEP]`` stays last.

    Args:
        tokenizer: as ``load_tokenizer`` returns it.
        texts: N texts.
        max_length: tokens of each, ``[CLS]`` and ``[SEP]`` included.
    """
    encoded = tokenizer(
        list(texts),
        padding="max_length",
        truncation=True,
        max_length=max_length,
        return_attention_mask=True,
        return_token_type_ids=False,
    )
    input_ids = torch.tensor(encoded["input_ids"], dtype=torch.int64)
    input_mask = torch.tensor(encoded["attention_mask"], dtype=torch.int64)
    return TokenBatch(input_ids, input_mask, torch.zeros_like(input_ids))


def join_options(
    tokenizer: PreTrainedTokenizerBase,
    question: str,
    options: list[str],
    max_length: int,
    cut: str = "question",
) -> list[str]:
    """Return each option as question, blank, option, with the question cut so that the option stays whole.

    Options of a question as long as the limit would otherwise all become the same tokens.

    Args:
        tokenizer: as ``load_tokenizer`` returns it.
        question: may be empty.
        options: N options.
        max_length: tokens of a text, ``[CLS]`` and ``[SEP]`` included.
        cut: a value of ``CUTS``; ``end`` leaves the cutting to ``encode_texts``.
    """
    texts = [join_question_and_option(question, option) for option in options]
    if not CUTS[cut] or not question:
        return texts
    room = max_length - tokenizer.num_special_tokens_to_add(pair=False)
    lengths = count_tokens(tokenizer, texts)
    if max(lengths) <= room:
        return texts
    ends = [end for _, end in _split(tokenizer, [question], return_offsets_mapping=True)["offset_mapping"][0]]
    for n, length in enumerate(count_tokens(tokenizer, options)):
        if lengths[n] > room:
            kept = max(0, room - length)
            texts[n] = join_question_and_option(question[: ends[kept - 1]] if kept else "", options[n])
    return texts


def find_equal_tokens(tokens: TokenBatch, words: Sequence[str]) -> tuple[int, int] | None:
    """Return two texts that differ in words, upper and lower case aside, and not in tokens.

    None where there are none.
    """
    seen: dict[tuple[int, ...], int] = {}
    for n, ids in enumerate(tokens.input_ids.tolist()):
        first = seen.setdefault(tuple(ids), n)
        if words[first].casefold() != words[n].casefold():
            return first, n
    return None


def count_tokens(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[int]:
    """Return the number of tokens of each text, special ones left out."""
    return [len(ids) for ids in _split(tokenizer, texts)["input_ids"]]


def _split(tokenizer: PreTrainedTokenizerBase, texts: list[str], **more: Any) -> Any:
    # ``verbose``: texts longer than the transformer reads are what this is for.
    return tokenizer(
        texts,
        add_special_tokens=False,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
        **more,
    )


#: Texts that ``survey_texts`` reads; of more, an even sample.
SURVEY_LIMIT = 10_000


@dataclass(frozen=True)
class TextSurvey:
    """What encoding does to the texts of a split.

    Attributes:
        num_texts: texts of the split.
        num_read: texts that were looked at: all, or an even sample.
        num_cut: of these, texts longer than ``max_length``.
        num_unknown: of these, texts that are ``[UNK]`` for more than half.
        longest: tokens of the longest, ``[CLS]`` and ``[SEP]`` included.
        max_length: tokens that are kept.
    """

    num_texts: int
    num_read: int
    num_cut: int
    num_unknown: int
    longest: int
    max_length: int

    @property
    def is_clean(self) -> bool:
        """Whether nothing is cut and nothing mostly unknown."""
        return not self.num_cut and not self.num_unknown

    def describe(self, where: str) -> str:
        """Return one line: the numbers, and what to set.

        Args:
            where: dotted key of the text processor's ``params``.
        """
        sample = "" if self.num_read == self.num_texts else f" (an even sample of {self.num_texts})"
        line = (
            f"of {self.num_read} texts{sample} {self.num_cut} are cut at max_length={self.max_length}, the "
            f"longest has "
            f"{self.longest} tokens, {self.num_unknown} are mostly unknown ([UNK])"
        )
        if self.num_cut:
            line += f"; to keep them whole set {where}.max_length={self.longest}"
        if self.num_unknown:
            line += f"; set {where}.tokenizer to one that knows their script"
        return line


def survey_texts(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_length: int, num_texts: int | None = None
) -> TextSurvey:
    """Count the texts that are cut or mostly unknown.

    Args:
        tokenizer: as ``load_tokenizer`` returns it.
        texts: the texts, or a sample of them.
        max_length: tokens that are kept, ``[CLS]`` and ``[SEP]`` included.
        num_texts: texts of the split, where ``texts`` is a sample.
    """
    added = tokenizer.num_special_tokens_to_add(pair=False)
    unknown_id = tokenizer.unk_token_id
    num_cut = num_unknown = longest = 0
    for start in range(0, len(texts), _BATCH):
        for ids in _split(tokenizer, list(texts[start : start + _BATCH]))["input_ids"]:
            length = len(ids) + added
            longest = max(longest, length)
            num_cut += length > max_length
            num_unknown += 2 * ids.count(unknown_id) > len(ids)
    return TextSurvey(num_texts or len(texts), len(texts), num_cut, num_unknown, longest, max_length)


#: Texts that are split into tokens at once.
_BATCH = 1000
