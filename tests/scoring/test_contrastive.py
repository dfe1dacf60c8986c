"""The contrastive loss by hand, by its properties, and in two processes against one."""

import os
import subprocess
import sys
from pathlib import Path

import torch
import torch.nn.functional as F

from clipbert_mmf.scoring.contrastive import contrastive_loss

ROOT = Path(__file__).resolve().parents[2]


def make_batch(videos=4, texts=3, size=5):
    """One matching text per video, at another place in each."""
    generator = torch.Generator().manual_seed(3)
    targets = torch.eye(texts, dtype=torch.int64)[torch.arange(videos) % texts]
    return {
        "text_embeddings": F.normalize(torch.randn(videos, texts, size, generator=generator), dim=-1),
        "video_embeddings": F.normalize(torch.randn(videos, size, generator=generator), dim=-1),
        "scale": torch.tensor([7.0]),
        "targets": targets,
        "input_ids": torch.arange(videos * texts * 2).view(videos, texts, 2),
        "item_index": torch.arange(videos),
        "media_index": torch.arange(videos) + 10,
    }


def test_it_is_the_symmetric_cross_entropy_of_matching_texts_and_videos():
    batch = make_batch()
    logits = 7.0 * batch["video_embeddings"] @ batch["text_embeddings"][batch["targets"].bool()].T
    diagonal = torch.arange(4)
    expected = (F.cross_entropy(logits, diagonal) + F.cross_entropy(logits.T, diagonal)) / 2
    torch.testing.assert_close(contrastive_loss(**batch), expected)


def test_texts_that_do_not_match_do_not_count():
    batch = make_batch()
    expected = contrastive_loss(**batch)
    batch["text_embeddings"][~batch["targets"].bool()] = 1.0
    torch.testing.assert_close(contrastive_loss(**batch), expected)


def test_a_text_of_the_same_words_or_of_the_same_video_is_no_negative():
    batch = make_batch(videos=2)
    assert contrastive_loss(**batch) > 0.01
    same_words = {**batch, "input_ids": torch.ones_like(batch["input_ids"])}
    same_video = {**batch, "media_index": torch.zeros(2, dtype=torch.int64)}
    for changed in (same_words, same_video):
        torch.testing.assert_close(contrastive_loss(**changed), torch.tensor(0.0))


def test_an_item_that_was_read_twice_is_one_candidate():
    batch = make_batch()
    twice = {key: value if key == "scale" else torch.cat([value, value[:1]]) for key, value in batch.items()}
    # A fifth row of the loss, no fifth candidate.
    torch.testing.assert_close(
        contrastive_loss(**twice) * 5,
        contrastive_loss(**batch) * 4 + contrast_of_first(batch),
        atol=1e-5,
        rtol=1e-5,
    )


def contrast_of_first(batch):
    """Return what the first video adds to the sum."""
    logits = 7.0 * batch["video_embeddings"] @ batch["text_embeddings"][batch["targets"].bool()].T
    return (
        F.cross_entropy(logits[:1], torch.tensor([0])) + F.cross_entropy(logits.T[:1], torch.tensor([0]))
    ) / 2


def test_without_a_matching_text_it_is_0_with_a_gradient_path():
    batch = make_batch()
    batch["targets"] = torch.zeros_like(batch["targets"])
    batch["video_embeddings"].requires_grad_()
    loss = contrastive_loss(**batch)
    loss.backward()
    assert loss == 0 and (batch["video_embeddings"].grad == 0).all()


PROGRAM = """
import sys, torch
from clipbert_mmf.scoring.contrastive import contrastive_loss
from tests.scoring.test_contrastive import make_batch
rank, place, out = int(sys.argv[1]), sys.argv[2], sys.argv[3]
torch.distributed.init_process_group('gloo', init_method='file://' + place, rank=rank, world_size=2)
rows = slice(0, 3) if rank == 0 else slice(3, 4)
batch = {key: value if key == 'scale' else value[rows].clone() for key, value in make_batch().items()}
leaves = [batch[key].requires_grad_() for key in ('text_embeddings', 'video_embeddings', 'scale')]
loss = contrastive_loss(**batch)
(loss * len(batch['targets']) / 4).backward()
torch.save({'loss': loss.detach(), 'gradients': [leaf.grad for leaf in leaves]}, f'{out}.{rank}')
torch.distributed.barrier()
torch.distributed.destroy_process_group()
"""


def test_two_processes_have_the_loss_and_the_gradients_of_one(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CLIPBERT_MMF_HOST": "0", "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(rank), str(tmp_path / "meet"), str(tmp_path / "out")],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    errors = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(errors)
    first, second = (torch.load(tmp_path / f"out.{rank}") for rank in range(2))
    batch = make_batch()
    leaves = [batch[key].requires_grad_() for key in ("text_embeddings", "video_embeddings", "scale")]
    loss = contrastive_loss(**batch)
    loss.backward()
    torch.testing.assert_close((3 * first["loss"] + second["loss"]) / 4, loss.detach())
    for own, other, leaf, joined in zip(
        first["gradients"], second["gradients"], leaves, (torch.cat, torch.cat, sum), strict=True
    ):
        torch.testing.assert_close(joined([own, other]), leaf.grad)
