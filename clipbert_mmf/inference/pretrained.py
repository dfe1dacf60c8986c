"""Loads a trained model by folder, checkpoint or hub name, and asks it: ``ClipBert.from_pretrained``.

Nothing here imports MMF: a model that was trained with MMF runs where MMF is not installed.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from clipbert_mmf.inference.asking import (
    Answer,
    EncodedMedia,
    Hit,
    Scored,
    answer_question,
    clean_question,
    clean_texts,
    require_ability,
    score_matches,
    score_texts,
)
from clipbert_mmf.inference.devices import choose_device
from clipbert_mmf.inference.evidence import Evidence, describe_evidence
from clipbert_mmf.inference.hub import upload_model
from clipbert_mmf.inference.media import Media, open_media, require_media
from clipbert_mmf.inference.model_card import describe_model, write_model_card
from clipbert_mmf.inference.network_files import count_outputs, distinct_tensors, load_network
from clipbert_mmf.inference.preprocessing import Preprocessing
from clipbert_mmf.inference.recipe import (
    CONFIG_FILE,
    Recipe,
    choose_dataset,
    keep_one_head,
    parse_run_model,
    read_recipe,
    recipe_of_run,
    require_same_answers,
    require_same_tokenizer,
    write_recipe,
)
from clipbert_mmf.inference.settings import RecipeError
from clipbert_mmf.inference.sources import find_model, is_saved_folder, read_run
from clipbert_mmf.models.network import ClipBertNetwork
from clipbert_mmf.modules.heads import Ability, find_head
from clipbert_mmf.retrieval.two_stage import check_numbers, choose_candidates, compare_embeddings
from clipbert_mmf.scoring.clips import match_times
from clipbert_mmf.scoring.validity import check_scores
from clipbert_mmf.shapes import TokenBatch
from clipbert_mmf.tasks.datasets import SPECS
from clipbert_mmf.tasks.task import TASKS
from clipbert_mmf.transforms.text import join_question_and_option
from clipbert_mmf.transforms.tokens import (
    count_words,
    encode_texts,
    join_options,
    load_tokenizer,
    survey_texts,
)
from clipbert_mmf.video.clips import Clips
from clipbert_mmf.video.endings import MEDIA_ENDINGS, ending_of
from clipbert_mmf.video.errors import DecodeError, MediaError
from clipbert_mmf.weights.files import read_weights, with_one_head
from clipbert_mmf.writing import naming

logger = logging.getLogger(__name__)

WEIGHTS_FILE = "model.safetensors"


class ClipBert:
    """A trained model: network, preprocessing, tokenizer, answers.

    Args:
        network: is put into evaluation mode.
        recipe: everything that the network needs beside its weights.
    """

    def __init__(self, network: ClipBertNetwork, recipe: Recipe):
        self.network = network.eval()
        self.recipe = recipe
        # Path, configuration and dataset that it was loaded from, which its card tells.
        self._origin: tuple[Path, str | Path | None, str | None] | None = None
        # Texts that were told to be cut or unknown.
        self._told: set[str] = set()

    @classmethod
    def from_pretrained(
        cls,
        location: str | Path,
        *,
        device: str | torch.device = "cpu",
        config: str | Path | None = None,
        dataset: str | None = None,
        answers: str | Path | None = None,
        tokenizer: str | Path | None = None,
        revision: str | None = None,
        backend: str = "auto",
    ) -> ClipBert:
        """Load a model with the very numbers that were saved.

        Args:
            location: a folder of ``save_pretrained`` or ``clipbert convert``, the folder of a run or one of
                its checkpoints, or a name on the Hugging Face hub.
            device: device of the network.
            config: a run's ``config.yaml``, for a checkpoint that lies alone; or the YAML of a project, such as
                ``projects/clipbert/configs/msrvtt_retrieval/defaults.yaml``, for a released ClipBERT.
            dataset: registry key of the dataset whose head, answers and preprocessing are used, for a run
                over several.
            answers: the answer vocabulary, for a checkpoint that does not hold it.
            tokenizer: the tokenizer, for a checkpoint that does not hold it.
            revision: branch, tag or commit on the hub.
            backend: decoder of videos; a trained model does not depend on one.

        Raises:
            ValueError: for an unknown backend, or a device that this machine lacks.
            FileNotFoundError: if there is no such model.
            RecipeError: if its description is missing or damaged, or ``answers`` or ``tokenizer`` are others than
                it was trained with.
            WeightsFileError: if its weights are damaged, or of another network than described.
        """
        device = choose_device(device)
        path = find_model(location, revision)
        if is_saved_folder(path):
            recipe, file = read_recipe(path), read_weights(path)
            require_same_answers(recipe, answers, str(path))
            require_same_tokenizer(recipe, tokenizer, str(path))
        else:
            run = read_run(path, config, dataset)
            name = choose_dataset(run.config, run.config_place, dataset)
            model = parse_run_model(run.config, run.config_place)
            _, head = keep_one_head(model, name)
            file = run.checkpoint if head is None else with_one_head(run.checkpoint, head, model.heads)
            recipe = recipe_of_run(
                run.config,
                run.config_place,
                name,
                folder=run.folder,
                num_answers=count_outputs(file),
                answers=answers,
                tokenizer=tokenizer,
                trained=run.trained_with and run.trained_with.find(name),
                checkpoint=str(run.checkpoint.path),
            )
        recipe = replace(recipe, preprocessing=recipe.preprocessing.with_backend(backend))
        model = cls(load_network(recipe.model, file).to(device), recipe)
        model._origin = path, config, dataset
        return model

    def save_pretrained(self, folder: str | Path) -> None:
        """Write a folder that ``from_pretrained`` reads back bit for bit.

        Files of the same names are replaced.

        Raises:
            RecipeError: if the answers of a classifying head are not known.
            ValueError: if the tokenizer cannot be found.
        """
        self.recipe.require_answers()
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        with naming(folder):
            self.save_tokenizer(folder)
        write_recipe(self.recipe, folder)
        weights = folder / WEIGHTS_FILE
        # One entry of metadata: safetensors writes several in any order, and the same model must give the
        # same file.
        with naming(weights):
            save_file(distinct_tensors(self.network), weights, {"format": "pt"})
        # safetensors writes for the owner's eyes only; the weights are as public as the folder.
        shutil.copymode(folder / CONFIG_FILE, weights)

    def push_to_hub(
        self,
        repo: str,
        *,
        private: bool | None = None,
        license: str | None = None,
        revision: str | None = None,
        message: str | None = None,
        token: str | None = None,
    ) -> str:
        """Upload the model with a card of its run to the Hugging Face hub, for ``from_pretrained(repo)``.

        ``hub.upload_model`` has the arguments and errors.

        Returns:
            Address of the commit.
        """
        card = (
            write_model_card(self.recipe, {}, Path(), None)
            if self._origin is None
            else describe_model(self.recipe, *self._origin)
        )
        return upload_model(
            self.save_pretrained,
            card,
            repo,
            private=private,
            license=license,
            revision=revision,
            message=message,
            token=token,
        )

    def save_tokenizer(self, folder: str | Path) -> None:
        """Write the tokenizer as a folder of Hugging Face.

        Raises:
            ValueError: if the tokenizer cannot be found.
        """
        tokenizer = self.tokenizer
        # What the last call cut and padded to would be saved with it.
        tokenizer.backend_tokenizer.no_truncation()
        tokenizer.backend_tokenizer.no_padding()
        tokenizer.save_pretrained(folder)

    @property
    def device(self) -> torch.device:
        """Device of the network."""
        return self.network.device

    @property
    def preprocessing(self) -> Preprocessing:
        """Reads videos and texts as the run's evaluation did."""
        return self.recipe.preprocessing

    @property
    def answers(self) -> tuple[str, ...]:
        """The answer vocabulary by index; empty where the head has none."""
        return self.recipe.answers

    @property
    def tokenizer(self) -> Any:
        """The Hugging Face tokenizer, loaded when first asked for."""
        tokenizer = load_tokenizer(self.recipe.tokenizer)
        rows, words = self.network.text_embedding.words.num_embeddings, count_words(tokenizer)
        if words > rows:
            raise RecipeError(
                f"tokenizer '{self.recipe.tokenizer}' has {words} words and the model {rows}: it is another "
                f"one than the model was trained with"
            )
        return tokenizer

    def encode_texts(self, texts: Sequence[str]) -> TokenBatch:
        """Return N texts as ``(N, L)`` tokens, cut and padded as in training; what is cut or unknown is told once."""
        tokens = encode_texts(self.tokenizer, list(texts), self.preprocessing.max_text_tokens)
        is_unknown = (
            2 * (tokens.input_ids == self.tokenizer.unk_token_id).sum(1) > tokens.input_mask.sum(1) - 2
        )
        doubtful = is_unknown | tokens.input_mask.all(1)
        self._tell_loss([text for text, told in zip(texts, doubtful.tolist(), strict=True) if told])
        return tokens

    def _tell_loss(self, texts: Sequence[str]) -> None:
        """Tell which texts the model does not read whole."""
        limit = self.preprocessing.max_text_tokens
        for text in texts:
            if text in self._told:
                continue
            self._told.add(text)
            found = survey_texts(self.tokenizer, [text], limit)
            if found.num_cut:
                logger.warning(
                    "the text has %d tokens and the model reads %d; its end is cut: '%s'",
                    found.longest,
                    limit,
                    text,
                )
            if found.num_unknown:
                logger.warning("most of the text is unknown to the model's tokenizer: '%s'", text)

    def join_options(self, question: str, options: Sequence[str]) -> list[str]:
        """Return each option as a text behind its question, cut as in training."""
        kept = self.preprocessing
        texts = join_options(self.tokenizer, question, list(options), kept.max_text_tokens, kept.text_cut)
        whole = [join_question_and_option(question, option) for option in options]
        # With options cut at their end, ``encode_texts`` tells it.
        if texts != whole and question not in self._told:
            self._told.add(question)
            logger.warning(
                "question and option are longer than the %d tokens that the model reads; the question is cut, for "
                "example to '%s'",
                kept.max_text_tokens,
                next(text for text, other in zip(texts, whole, strict=True) if text != other),
            )
        return texts

    @torch.inference_mode()
    def score_frames(self, frames: Tensor, texts: Sequence[str]) -> Tensor:
        """Score every text against every video.

        Args:
            frames: ``(B, K, T, 3, L, L)`` uint8 RGB, each video as ``preprocessing.read`` gives it.
            texts: N of them.

        Returns:
            ``(B, N, A)`` float32 on the CPU, clips folded, before any softmax; ``(B, N)`` for multiple
            choice.

        Raises:
            ScoresError: if a score is not finite.
        """
        tokens = [x.expand(len(frames), *x.shape).to(self.device) for x in self.encode_texts(texts)]
        scores = self.network(frames.to(self.device), *tokens)["scores"]
        num_rows = len(frames) if self.network.group_options else len(frames) * len(texts)
        per_video = num_rows // max(1, len(frames))
        check_scores(scores, num_rows, lambda row: f"video {row // per_video}, text {row % per_video}")
        return scores.cpu() if self.network.group_options else scores.unflatten(0, (-1, len(texts))).cpu()

    @property
    def head_type(self) -> str:
        """Type of the model's head, a key of ``HEADS``."""
        return self.recipe.model.head.type

    @property
    def asks(self) -> tuple[Ability, ...]:
        """Abilities of the model's head: some of ``score answer choose count``."""
        return find_head(self.head_type).asks

    def require_answers(self) -> None:
        """Raise ``RecipeError`` where the head has an answer vocabulary and it is not known."""
        self.recipe.require_answers()

    @property
    def has_soft_answers(self) -> bool:
        """Tell whether each answer was trained on its own (VQA), so that several may be likely."""
        spec = SPECS.get(self.recipe.dataset)
        if spec is not None and spec.task in TASKS:
            return TASKS[spec.task].answers_are_soft
        # Of a dataset that is not registered here, or has its task from the configuration, the losses tell.
        return any(name.endswith("bce") for name in self.recipe.model.list_losses())

    def read_clips(self, video: Media | Clips) -> Clips:
        """Return the clips that the model reads of a video.

        Clips that were read already are returned unchanged.

        Raises:
            MediaError: if it cannot be read.
        """
        if isinstance(video, Clips):
            return video
        source, name = open_media(video)
        try:
            return self.preprocessing.read_clips(source, key=name)
        except DecodeError as error:
            ending = ending_of(name)
            if self.preprocessing.media != "image" or ending not in MEDIA_ENDINGS["video"]:
                raise
            raise DecodeError("it is a video, and this model reads images", name) from error

    @torch.inference_mode()
    def encode(self, video: Media | Clips) -> EncodedMedia:
        """Read a video and encode its clips, for any number of texts.

        Raises:
            MediaError: if it cannot be read.
            ScoresError: if the model gives numbers that are not finite.
        """
        clips = self.read_clips(video)
        name = str(video) if isinstance(video, (str, Path)) else "the video"
        visual = self.network.encode_clips(clips.frames[None].to(self.device)).float().cpu()
        return EncodedMedia(check_scores(visual, 1, lambda row: name)[0], clips.times_sec, name)

    @torch.inference_mode()
    def score_encoded(self, visual: Tensor, texts: Sequence[str]) -> Tensor:
        """Return ``(N, K, A)`` float32 on the CPU.

        Every clip of ``(K, V, D)`` against every text, not folded.
        """
        tokens = (x.to(self.device) for x in self.encode_texts(texts))
        videos = torch.zeros(len(texts), dtype=torch.int64, device=self.device)
        return self.network.score_clips(visual[None].to(self.device), videos, *tokens).cpu()

    def score(self, video: Media, texts: Sequence[str]) -> Scored:
        """Say how well each text fits a video.

        Args:
            video: path, iopath URL, an encoded file's bytes, or frames.
            texts: at least one.

        Raises:
            MediaError: if the video cannot be read.
            WrongHeadError: if the head cannot score.
        """
        require_ability(self, "score")
        clean_texts(texts)
        return score_texts(self, self.encode(video), texts)

    def answer(
        self, video: Media, question: str, options: Sequence[str] | None = None, top_k: int = 5
    ) -> Answer:
        """Answer a question about a video; ``asking.answer_question`` has the arguments and errors."""
        clean_question(question, options, top_k)  # what is wrong is told before the video is read
        return answer_question(self, self.encode(video), question, options, top_k)

    def describe_evidence(
        self, video: Media | Clips, text: str, answer: str | None = None, saliency: str | None = None
    ) -> Evidence:
        """Say when, where and which words speak for a text or an answer.

        See ``evidence.describe_evidence``.
        """
        return describe_evidence(self, video, text, answer, saliency)

    def search(
        self,
        texts: Sequence[str],
        videos: str | Path | Sequence[str | Path],
        top_k: int = 10,
        progress: Callable[[Iterable], Iterable] = lambda videos: videos,
        rerank_top_k: int | None = None,
    ) -> dict[str, list[Hit]]:
        """Find the videos that fit each text best; those that cannot be read are left out with a warning.

        Every video is encoded now, and only its scores are kept; ``library.searching.Library`` searches an index.

        Args:
            texts: what to look for; one that is given twice is looked for once.
            videos: a folder, searched at any depth, or files.
            top_k: hits of each text.
            progress: wraps the videos while they are encoded, such as ``tqdm``.
            rerank_top_k: videos of each text that embeddings choose and the cross-encoder ranks, at least
                ``top_k``; None for all. The chosen ones are read a second time.

        Returns:
            Text to hits, best first.

        Raises:
            WrongHeadError: if the head cannot score.
            FileNotFoundError: if the folder is not there or holds no media.
            ValueError: if there is no text, ``top_k`` is below 1, none of the videos can be read, or
                ``rerank_top_k`` is below ``top_k`` or the model has no contrastive head.
        """
        self.check_search(texts, top_k, rerank_top_k)
        cleaned = clean_texts(texts)
        texts, cleaned = list(dict.fromkeys(texts)), list(dict(zip(texts, cleaned, strict=True)).values())
        if isinstance(videos, (str, Path)):
            videos = require_media(videos, self.preprocessing.media)
        found: dict[str, list[Hit]] = {text: [] for text in texts}
        if rerank_top_k is None:
            chosen = {video: list(range(len(cleaned))) for video in videos}
        else:
            chosen = self._choose_texts(progress(list(videos)), cleaned, rerank_top_k)
        for video in progress(list(chosen)):
            encoded = self._try_encoding(video)
            if encoded is None:
                continue
            named, columns = replace(encoded, name=str(video)), chosen[video]
            rows, clips = score_matches(self, named, [cleaned[column] for column in columns])
            for column, row, by_clip in zip(columns, rows, clips, strict=True):
                times = match_times(encoded.times_sec, len(by_clip))
                best = times[int(by_clip.argmax())] if times else None
                found[texts[column]].append(
                    Hit(str(video), 0, float(row.double().sigmoid()), float(row), best)
                )
        if not all(found.values()):
            raise ValueError(f"none of {len(videos)} videos can be read")
        return {
            text: [
                replace(hit, rank=rank)
                for rank, hit in enumerate(sorted(hits, key=lambda hit: -hit.score)[:top_k], 1)
            ]
            for text, hits in found.items()
        }

    def check_search(self, texts: Sequence[str], top_k: int, rerank_top_k: int | None) -> None:
        """Check what a search can be refused for before a video is read; see ``search``."""
        require_ability(self, "score")
        check_numbers(top_k, rerank_top_k, self.network.contrastive is not None)
        self.encode_texts(clean_texts(texts))

    @torch.inference_mode()
    def _choose_texts(
        self, videos: Iterable[str | Path], texts: list[str], rerank_top_k: int
    ) -> dict[str | Path, list[int]]:
        """Return the videos that embeddings choose for a text, each with the columns of its texts."""
        kept: list[str | Path] = []
        rows: list[Tensor] = []
        owners: list[int] = []
        for video in videos:
            encoded = self._try_encoding(video)
            if encoded is None:
                continue
            # As in an index: a video is as similar as the whole of it, or its most similar clip.
            whole, clips = self.network.embed_moments(encoded.visual[None].to(self.device))
            row = torch.cat([whole, clips[0]])
            owners += [len(kept)] * len(row)
            rows.append(check_scores(row, len(row), lambda row, video=video: f"the embedding of {video}"))
            kept.append(video)
        if not kept:
            return {}
        tokens = self.network.embed_texts(*(x.to(self.device) for x in self.encode_texts(texts)))
        check_scores(tokens, len(texts), lambda row: f"the embedding of the text {texts[row]!r}")
        vectors = torch.cat(rows)
        by_row = compare_embeddings(vectors, tokens, torch.ones(len(vectors), device=self.device))
        of_rows = torch.tensor(owners, device=self.device)[:, None].expand_as(by_row)
        similarity = by_row.new_empty(len(kept), len(texts)).scatter_reduce_(
            0, of_rows, by_row, "amax", include_self=False
        )
        for_texts, _ = choose_candidates(similarity.cpu(), rerank_top_k)
        return {
            video: row.nonzero().flatten().tolist()
            for video, row in zip(kept, for_texts, strict=True)
            if bool(row.any())
        }

    def _try_encoding(self, video: str | Path) -> EncodedMedia | None:
        """Return the encoding of a video, None with a warning where it cannot be read."""
        try:
            return self.encode(video)
        except MediaError as error:
            logger.warning("left out: %s", error)
            return None
