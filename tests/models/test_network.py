"""The whole network at tiny size, by its properties."""

import pytest
import torch

from clipbert_mmf.models.network import ClipBertNetwork, HeadUse, choose_pairs, choose_pairs_at_once
from clipbert_mmf.modules.backbones.grid_resnet import GridResnet, GridResnetOptions
from clipbert_mmf.modules.contrastive import RowsHead, TowersHead
from clipbert_mmf.modules.cross_encoder import CrossEncoder
from clipbert_mmf.modules.embedding import TextEmbedding, VisualEmbedding
from clipbert_mmf.modules.grid_encoder import GridEncoder
from clipbert_mmf.modules.heads import PairHead, PretrainHead
from clipbert_mmf.modules.temporal_fusion import TEMPORAL_FUSIONS


def make_network(
    head="match",
    fusion="mean",
    fold="lse",
    pairs_per_chunk=64,
    seed=0,
    clip_fusion="fold",
    contrastive=False,
    hard_negatives=0,
    replaces_scores=False,
):
    torch.manual_seed(seed)
    backbone = GridResnet(GridResnetOptions("resnet18", "group", width=8, out_stage="res4", freeze_at=0))
    text = TextEmbedding(60, 16, 30, dropout=0.0)
    heads = {
        "match": lambda: PairHead(16, 2),
        "choose": lambda: PairHead(16, 1),
        "choose_by_match": lambda: PairHead(16, 2),
        "classify": lambda: PairHead(16, 7),
        "pretrain": lambda: PretrainHead(16, text.words),
    }
    return ClipBertNetwork(
        backbone,
        GridEncoder(backbone.out_channels, 16),
        TEMPORAL_FUSIONS[fusion](16),
        VisualEmbedding(16, 10, 10, dropout=0.0),
        text,
        CrossEncoder(16, 2, 4, 32, dropout=0.0),
        heads[head](),
        HeadUse(fold=fold, group_options=head.startswith("choose")),
        pairs_per_chunk=pairs_per_chunk,
        clip_fusion=clip_fusion,
        contrastive=_make_contrastive(contrastive, backbone.out_channels),
        hard_negatives=hard_negatives,
        replaces_scores=replaces_scores,
    )


def _make_contrastive(kind, channels):
    if kind == "towers":
        return TowersHead([channels], 16, 20, 8, 0.0, joins_scores=True)
    return RowsHead(16, 6) if kind else None


def make_batch(batch=2, texts=3, clips=2, frames=2, length=9):
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (batch, clips, frames, 3, 64, 64), generator=generator, dtype=torch.uint8)
    ids = torch.randint(5, 60, (batch, texts, length), generator=generator)
    mask = torch.ones_like(ids)
    mask[:, 1:, 6:] = 0
    return pixels, ids, mask, torch.zeros_like(ids)


@pytest.mark.parametrize("head, shape", [("match", (6, 2)), ("classify", (6, 7)), ("choose", (2, 3))])
def test_scores_have_the_shape_of_the_head(head, shape):
    assert make_network(head)(*make_batch())["scores"].shape == shape


@pytest.mark.parametrize("head", ["match", "classify", "choose", "pretrain"])
def test_the_gradient_reaches_every_parameter(head):
    network, batch = make_network(head).train(), make_batch()
    labels = torch.full_like(batch[1], -100)
    labels[..., 2] = batch[1][..., 2]
    output = network(*batch, labels if head == "pretrain" else None)
    loss = output["scores"].square().sum() + (
        output["mlm_scores"].square().sum() if head == "pretrain" else 0
    )
    loss.backward()
    assert [name for name, p in network.named_parameters() if p.requires_grad and p.grad is None] == []


def test_chunks_of_pairs_change_nothing():
    whole = make_network(pairs_per_chunk=1000).eval()
    parts = make_network(pairs_per_chunk=2).eval()
    with torch.no_grad():
        torch.testing.assert_close(parts(*make_batch())["scores"], whole(*make_batch())["scores"])


def test_without_a_setting_a_card_scores_more_pairs_at_once():
    devices = torch.device("cpu"), torch.device("cuda", 0)
    here, there = (choose_pairs_at_once(device) for device in devices)
    assert (here, there) == (64, 1024)
    frames, *texts = make_batch(texts=50)
    chosen, few, many = (make_network(pairs_per_chunk=size).eval() for size in (None, here, there))
    assert [network.texts_per_chunk(2) for network in (chosen, few, many)] == [32, 32, 512]
    with torch.no_grad():
        scores = [network(frames, *texts)["scores"] for network in (chosen, few, many)]
    torch.testing.assert_close(scores[0], scores[1])
    torch.testing.assert_close(scores[0], scores[2])


def test_each_pair_is_scored_as_if_it_were_alone():
    network, (frames, ids, mask, segments) = make_network().eval(), make_batch()
    with torch.no_grad():
        together = network(frames, ids, mask, segments)["scores"].view(2, 3, 2)
        alone = network(frames[1:], ids[1:, 2:], mask[1:, 2:], segments[1:, 2:])["scores"]
    torch.testing.assert_close(together[1, 2:], alone, rtol=1e-4, atol=1e-5)


def test_clip_order_does_not_matter_but_clips_do():
    network, (frames, *texts) = make_network().eval(), make_batch()
    with torch.no_grad():
        scores = network(frames, *texts)["scores"]
        torch.testing.assert_close(network(frames.flip(1), *texts)["scores"], scores, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(network(frames[:, :1], *texts)["scores"], scores)


@pytest.mark.parametrize("clip_fusion", ["fold", "concat"])
@pytest.mark.parametrize("pairs_per_chunk", [1, 4, 64])
def test_scores_in_chunks_are_those_of_every_pair_on_its_own(clip_fusion, pairs_per_chunk):
    network = make_network(clip_fusion=clip_fusion, pairs_per_chunk=pairs_per_chunk).eval()
    frames, *texts = make_batch(batch=3)
    texts = [x.flatten(0, 1) for x in texts]
    with torch.no_grad():
        visual, videos = network.encode_clips(frames), torch.tensor([2, 2, 0, 1, 0, 0, 1, 2, 2])
        scores = network.score_clips(visual, videos, *texts)
        each = [
            network.score_batch(visual, videos[one], *(x[one] for x in texts))
            for one in torch.arange(len(videos)).split(1)
        ]
    torch.testing.assert_close(scores, torch.cat(each), rtol=1e-5, atol=1e-6)


def test_concatenated_clips_are_read_at_once_and_one_clip_is_as_ever():
    fold, concat = make_network().eval(), make_network(clip_fusion="concat", pairs_per_chunk=3).eval()
    seen = []
    concat.encoder.layers[0].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].shape))
    with torch.no_grad():
        frames, *texts = make_batch()
        output = concat(frames, *texts)
        assert output["clip_scores"].shape == (6, 1, 2) and torch.equal(
            output["clip_scores"][:, 0], output["scores"]
        )
        tokens = fold.encode_clips(frames).shape[2]
        assert all(shape[1] > 2 * tokens for shape in seen) and sum(shape[0] for shape in seen) == 6
        assert not torch.allclose(output["scores"], fold(frames, *texts)["scores"])
        one, as_ever = (network(frames[:, :1], *texts)["scores"] for network in (concat, fold))
        torch.testing.assert_close(one, as_ever, rtol=1e-6, atol=1e-7)  # in chunks of another size


def test_concatenated_clips_train_with_the_gradient_everywhere():
    network, batch = make_network(clip_fusion="concat").train(), make_batch()
    network(*batch)["scores"].square().sum().backward()
    assert all(p.grad is not None for p in network.parameters() if p.requires_grad)


def test_embeddings_are_unit_vectors_of_a_text_or_a_video_alone():
    network, (frames, *texts) = make_network(contrastive=True), make_batch()
    output = network.train()(frames, *texts)
    assert output["text_embeddings"].shape == (2, 3, 6) and output["video_embeddings"].shape == (2, 6)
    for key in ("text_embeddings", "video_embeddings"):
        torch.testing.assert_close(output[key].norm(dim=-1), torch.ones(output[key].shape[:-1]))
    other = network(frames.flip(0), texts[0].flip(1), texts[1].flip(1), texts[2])
    torch.testing.assert_close(other["text_embeddings"], output["text_embeddings"].flip(1))
    torch.testing.assert_close(
        other["video_embeddings"], output["video_embeddings"].flip(0), rtol=1e-4, atol=1e-5
    )
    assert "text_embeddings" not in network.eval()(frames, *texts)


def test_padding_does_not_change_an_embedding():
    network, (_, ids, mask, segments) = make_network(contrastive=True).eval(), make_batch()
    with torch.no_grad():
        long = network.embed_texts(ids[0], mask[0], segments[0])
        short = network.embed_texts(ids[0, 1:, :6], mask[0, 1:, :6], segments[0, 1:, :6])
    torch.testing.assert_close(long[1:], short)


def test_the_contrastive_head_changes_no_score():
    without, beside = make_network().eval(), make_network(contrastive=True).eval()
    beside.load_state_dict(without.state_dict(), strict=False)
    with torch.no_grad():
        assert torch.equal(without(*make_batch())["scores"], beside(*make_batch())["scores"])


def test_inputs_are_not_changed_and_evaluation_repeats():
    network, batch = make_network().eval(), make_batch()
    copies = [value.clone() for value in batch]
    with torch.no_grad():
        assert torch.equal(network(*batch)["scores"], network(*batch)["scores"])
    assert all(torch.equal(a, b) for a, b in zip(batch, copies, strict=True))


def test_hidden_words_are_scored_where_they_are():
    network, batch = make_network("pretrain").eval(), make_batch(clips=1)
    labels = torch.full_like(batch[1], -100)
    labels[0, 1, 3], labels[1, 2, 1], labels[1, 2, 4] = 7, 8, 9
    output = network(*batch, labels)
    assert output["mlm_scores"].shape == (3, 60)
    assert output["mlm_targets"].tolist() == [7, 8, 9]
    assert output["mlm_total"].tolist() == [0, 1, 0, 0, 0, 2]


def test_bf16_agrees_with_fp32():
    network, batch = make_network().eval(), make_batch()
    with torch.no_grad():
        full = network(*batch)["scores"]
        with torch.autocast("cpu", torch.bfloat16):
            half = network(*batch)["scores"]
    torch.testing.assert_close(half, full, rtol=5e-2, atol=5e-2)


def test_scores_are_not_rounded_under_autocast():
    network, (frames, ids, mask, segments) = make_network().eval(), make_batch(texts=40)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        scores = network(frames, ids, mask, segments)["scores"]
    assert scores.dtype == torch.float32
    assert len(scores[:, 1].unique()) == len(scores)
    assert not torch.equal(scores, scores.bfloat16().float())


def test_texts_are_sorted_for_the_encoder_alone():
    network, (frames, ids, mask, segments) = make_network(pairs_per_chunk=4).eval(), make_batch(texts=5)
    order = torch.tensor([3, 1, 4, 0, 2])
    mask[:, 3:, 3:] = 0
    with torch.no_grad():
        scores = network(frames, ids, mask, segments)["scores"].view(2, 5, 2)
        moved = network(frames, ids[:, order], mask[:, order], segments[:, order])["scores"].view(2, 5, 2)
    torch.testing.assert_close(moved, scores[:, order])


def test_the_encoder_sees_no_padding_beyond_the_longest_text():
    network, (frames, ids, mask, segments) = make_network().eval(), make_batch()
    mask[..., 4:] = 0
    seen = []
    network.text_embedding.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].shape[1]))
    network(frames, ids, mask, segments)
    network.train()(frames, ids, mask, segments)
    assert seen == [4, 4]


def test_state_dict_round_trip():
    first, second = make_network(seed=0).eval(), make_network(seed=1).eval()
    second.load_state_dict(first.state_dict())
    with torch.no_grad():
        assert torch.equal(first(*make_batch())["scores"], second(*make_batch())["scores"])


@pytest.mark.parametrize("clip_fusion", ["fold", "concat"])
def test_a_joined_score_is_that_of_the_cross_encoder_and_the_dot_product(clip_fusion):
    network = make_network(contrastive="towers", clip_fusion=clip_fusion).eval()
    frames, ids, mask, types = make_batch(batch=1, texts=2)
    with torch.no_grad():
        joined = network(frames, ids, mask, types)["clip_scores"]
        visual = network.encode_clips(frames)
        texts, video = network.embed_texts(ids[0], mask[0], types[0]), network.embed_videos(visual)
        network.contrastive.midpoint = None
        alone = network(frames, ids, mask, types)["clip_scores"]
    added = (joined - alone)[..., 1]
    assert torch.equal(joined[..., 0], alone[..., 0])
    if clip_fusion == "concat":
        torch.testing.assert_close(added[:, 0], network.contrastive.scale * (texts @ video.T)[:, 0])
    _, clips = network.contrastive.split_summary(visual)
    if clip_fusion == "fold":
        for clip in range(2):
            one = torch.nn.functional.normalize(clips[0, clip], dim=0)
            torch.testing.assert_close(added[:, clip], network.contrastive.scale * (texts @ one))


def test_the_cross_encoder_reads_no_summary():
    network, batch = make_network(contrastive="towers").eval(), make_batch()
    plain = make_network().eval()
    plain.load_state_dict({k: v for k, v in network.state_dict().items() if not k.startswith("contrastive")})
    network.contrastive.midpoint = None
    with torch.no_grad():
        torch.testing.assert_close(network(*batch)["scores"], plain(*batch)["scores"])


def test_negatives_are_wrong_pairs_of_the_batch_and_as_many_for_every_match():
    network = make_network(contrastive="towers", hard_negatives=2).train()
    frames, ids, mask, types = make_batch(batch=4, texts=2)
    ids[1, 0], mask[1, 0] = ids[0, 0], mask[0, 0]  # the words of another video's text
    media = torch.tensor([0, 1, 2, 0])  # the first and the last are parts of one video
    targets = torch.ones(4, 2, dtype=torch.int64)
    targets[2, 1] = 0  # a text that the dataset drew
    output = network(frames, ids, mask, types, targets=targets, media_index=media)
    videos = torch.arange(4).repeat_interleave(2)
    texts, chosen, wanted = choose_pairs(output, targets.flatten(), videos, media, ids.flatten(0, 1), 2)
    # The texts of videos 0, 1 and 3 have one wrong video each at the fewest, so one negative is chosen for all.
    assert len(texts) == len(chosen) == len(wanted) == 7 * 3 and wanted.sum() == 7 and wanted[:7].all()
    assert output["scores"].shape == (21, 2) and torch.equal(output["match_targets"], wanted)
    for text, video in zip(texts[7:].tolist(), chosen[7:].tolist(), strict=True):
        own = {int(media[videos[text]])} | ({0, 1} if text in (0, 2) else set())
        assert int(media[video]) not in own


def test_hidden_words_are_predicted_from_the_matching_video_alone():
    network = make_network("pretrain", contrastive="towers", hard_negatives=1).train()
    frames, ids, mask, types = make_batch(batch=3, texts=1)
    labels = torch.full_like(ids, -100)
    labels[:, :, 2] = ids[:, :, 2]
    targets, media = torch.ones(3, 1, dtype=torch.int64), torch.arange(3)
    output = network(frames, ids, mask, types, labels, None, targets, media)
    assert len(output["mlm_targets"]) == 3 and len(output["scores"]) == 9


def test_gradients_of_joined_scores_leave_the_towers_alone():
    network = make_network(contrastive="towers", hard_negatives=1).train()
    frames, ids, mask, types = make_batch(batch=3, texts=1)
    targets, media = torch.ones(3, 1, dtype=torch.int64), torch.arange(3)
    network(frames, ids, mask, types, targets=targets, media_index=media)["scores"].sum().backward()
    for tower in (network.contrastive.text, network.contrastive.video):
        assert all(value.grad is None or not value.grad.any() for value in tower.parameters())
    assert network.contrastive.midpoint.grad is not None


@pytest.mark.parametrize("clip_fusion", ["fold", "concat"])
def test_dot_products_that_replace_scores_are_the_logits_of_clips(clip_fusion):
    network = make_network(contrastive="towers", replaces_scores=True, clip_fusion=clip_fusion).eval()
    frames, ids, mask, types = make_batch(batch=1)
    ids[0, 1], mask[0, 1] = ids[0, 0], mask[0, 0]  # read once
    network.contrastive.midpoint.data.fill_(0.25)
    with torch.no_grad():
        found = network(frames, ids, mask, types)["clip_scores"]
        texts, visual = network.embed_texts(ids[0], mask[0], types[0]), network.encode_clips(frames)
    clips = network.contrastive.split_summary(visual)[1][0]
    clips = clips if clip_fusion == "fold" else clips.mean(0, keepdim=True)
    dots = texts @ torch.nn.functional.normalize(clips, dim=1).T
    torch.testing.assert_close(found[..., 1], network.contrastive.scale * (dots - 0.25))
    assert not found[..., 0].any()


def test_options_by_dot_product_train_towers_and_both_networks_and_nothing_else():
    network = make_network("choose_by_match", contrastive="towers", replaces_scores=True).train()
    output = network(*make_batch(batch=2, texts=3))
    assert set(output) == {"scores"} and output["scores"].shape == (2, 3)
    torch.nn.functional.cross_entropy(output["scores"], torch.tensor([0, 2])).backward()
    idle = [name for name, value in network.named_parameters() if value.requires_grad and value.grad is None]
    assert idle == []
    still = ("head.", "grid_encoder.", "visual_embedding.", "encoder.pooler.")
    assert all(value.requires_grad != name.startswith(still) for name, value in network.named_parameters())
