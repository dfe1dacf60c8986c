"""A model comes back bit for bit from a folder, a run or a checkpoint, with what it needs to read its input."""

import json
import subprocess
import sys

import pytest
import torch
import yaml
from transformers import BertConfig, BertModel

from clipbert_mmf.inference.preprocessing import Preprocessing
from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.inference.recipe import read_answers
from clipbert_mmf.inference.settings import RecipeError, load_model_config, read_yaml
from clipbert_mmf.paths import config_dir
from clipbert_mmf.video.clips import ClipOptions
from clipbert_mmf.weights.files import WeightsFileError
from tests.inference.small_run import make_run, run_config, same_state, same_tensors

HEADS = {"match": None, "choose": None, "regress": None, "pretrain": None, "classify": 5}


@pytest.fixture()
def run(tmp_path, tokenizer_dir):
    return tmp_path / "run", make_run(tmp_path / "run", tokenizer_dir)


def make_frames():
    return torch.arange(2 * 3 * 2 * 3 * 64 * 64).remainder(251).to(torch.uint8).view(2, 3, 2, 3, 64, 64)


@pytest.mark.parametrize("name", ["", "best.ckpt", "clipbert_final.pth"])
def test_a_run_and_its_checkpoints(run, name):
    folder, network = run
    model = ClipBert.from_pretrained(folder / name)
    assert same_state(model.network, network) and not model.network.training
    wanted = model.preprocessing
    assert wanted.clips == ClipOptions(64, num_clips=3, num_frames=2, sampling="uniform", clip_len_sec=1.0)
    assert (wanted.media, wanted.max_text_tokens) == ("video", 12)


@pytest.mark.parametrize("head", sorted(HEADS))
def test_a_saved_folder_gives_the_same_numbers_for_every_head(head, tmp_path, tokenizer_dir):
    network = make_run(tmp_path / "run", tokenizer_dir, head={"type": head, "num_answers": HEADS[head]})
    vocabulary = tmp_path / "answers.json"
    vocabulary.write_text(json.dumps({f"answer {i}": i for i in reversed(range(5))}))
    model = ClipBert.from_pretrained(tmp_path / "run", answers=vocabulary if head == "classify" else None)
    model.save_pretrained(tmp_path / "saved")
    again = ClipBert.from_pretrained(tmp_path / "saved")
    assert same_state(again.network, network)
    assert (again.network.fold, again.network.group_options) == (network.fold, head == "choose")
    if head == "pretrain":
        assert again.network.head.decoder.weight is again.network.text_embedding.words.weight
    assert again.answers == (tuple(f"answer {i}" for i in range(5)) if head == "classify" else ())
    assert again.preprocessing == model.preprocessing
    texts = ["a red circle moves", "two blue squares on the left then right"]
    assert torch.equal(again.score_frames(make_frames(), texts), model.score_frames(make_frames(), texts))
    again.save_pretrained(tmp_path / "second")
    for name in ("model.safetensors", "config.json", "preprocessor_config.json", "tokenizer.json"):
        assert (tmp_path / "second" / name).read_bytes() == (tmp_path / "saved" / name).read_bytes(), name


def test_scores_are_those_of_the_network_and_one_text_does_not_change_another(run):
    model = ClipBert.from_pretrained(run[0])
    texts = ["a red circle", "two"]
    scores = model.score_frames(make_frames(), texts)
    assert scores.shape == (2, 2, 2) and scores.dtype == torch.float32
    alone = model.score_frames(make_frames()[1:], texts[1:])[0, 0]
    torch.testing.assert_close(alone, scores[1, 1], rtol=1e-5, atol=1e-5)


def test_loading_leaves_the_callers_random_numbers_alone(run):
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    ClipBert.from_pretrained(run[0])
    assert torch.equal(torch.rand(3), expected)


def test_a_saved_folder_names_no_place_of_the_machine_it_was_trained_on(run, tmp_path):
    ClipBert.from_pretrained(run[0]).save_pretrained(tmp_path / "saved")
    for path in (tmp_path / "saved").iterdir():
        assert b"/secret" not in path.read_bytes() and str(tmp_path).encode() not in path.read_bytes(), (
            path.name
        )


def test_it_works_where_mmf_cannot_be_imported(run, tmp_path):
    ClipBert.from_pretrained(run[0]).save_pretrained(tmp_path / "saved")
    code = (
        "import sys; sys.modules['mmf'] = sys.modules['omegaconf'] = None\n"
        "from clipbert_mmf.inference.pretrained import ClipBert\n"
        f"print(sum(p.numel() for p in "
        f"ClipBert.from_pretrained({str(tmp_path / 'saved')!r}).network.parameters()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) == sum(p.numel() for p in run[1].parameters())


def test_a_checkpoint_in_the_folder_of_numbered_ones_finds_its_configuration(run):
    folder, network = run
    (folder / "clipbert_final.pth").rename(folder / "models" / "model_20.pth")
    assert same_state(ClipBert.from_pretrained(folder / "models" / "model_20.pth").network, network)


def test_weights_alone_need_a_configuration(run, tmp_path):
    folder, network = run
    alone = tmp_path / "alone.pth"
    (folder / "clipbert_final.pth").rename(alone)
    with pytest.raises(RecipeError, match="holds weights alone and no config.yaml lies beside it"):
        ClipBert.from_pretrained(alone)
    assert same_state(ClipBert.from_pretrained(alone, config=folder / "config.yaml").network, network)


def test_a_configuration_of_another_network_is_refused_with_the_table(run, tokenizer_dir, tmp_path):
    other = tmp_path / "other.yaml"
    other.write_text(yaml.safe_dump(run_config(tokenizer_dir, transformer__num_layers=3)))
    with pytest.raises(
        WeightsFileError, match="(?s)not of the network that its config.*describes.*encoder.layers.2"
    ):
        ClipBert.from_pretrained(run[0] / "best.ckpt", config=other)


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("config.json", "{", "config.json is damaged, it is not JSON"),
        ("config.json", "[]", "config.json is damaged: expected an object"),
        (
            "config.json",
            '{"model_type": "clipbert_mmf", "format_version": 9}',
            "format_version 9 and this version",
        ),
        (
            "config.json",
            '{"model_type": "clipbert_mmf", "format_version": 1}',
            "was written by clipbert_mmf 0.1, which this version does not read",
        ),
        ("preprocessor_config.json", None, "has no preprocessor_config.json"),
        (
            "preprocessor_config.json",
            '{"media": "video"}',
            "lacks image_size, max_text_tokens",
        ),
        (
            "preprocessor_config.json",
            '{"media": "sound", "image_size": 4, "max_text_tokens": 4}',
            "media is 'sound'",
        ),
        (
            "preprocessor_config.json",
            '{"media": "image", "image_size": 0, "max_text_tokens": 4}',
            "image_size is 0",
        ),
        ("model.safetensors", None, "a folder without weights"),
        ("model.safetensors", "x" * 40, "is neither a PyTorch, safetensors nor pickle file"),
    ],
)
def test_damaged_folders_are_named(run, tmp_path, name, content, message):
    folder = tmp_path / "saved"
    ClipBert.from_pretrained(run[0]).save_pretrained(folder)
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_text(content)
    with pytest.raises((RecipeError, WeightsFileError), match=message):
        ClipBert.from_pretrained(folder)


def test_a_truncated_and_a_mixed_up_weights_file(run, tmp_path, tokenizer_dir):
    folder = tmp_path / "saved"
    ClipBert.from_pretrained(run[0]).save_pretrained(folder)
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-100])
    with pytest.raises(WeightsFileError, match="truncated or damaged"):
        ClipBert.from_pretrained(folder)
    make_run(tmp_path / "other", tokenizer_dir, transformer__num_layers=1)
    ClipBert.from_pretrained(tmp_path / "other").save_pretrained(tmp_path / "othersaved")
    weights.write_bytes((tmp_path / "othersaved" / "model.safetensors").read_bytes())
    with pytest.raises(
        WeightsFileError, match="(?s)is not of the network that its configuration describes.*missing"
    ):
        ClipBert.from_pretrained(folder)


def test_a_description_of_a_giant_is_refused_before_memory_is_taken(run, tmp_path):
    folder = tmp_path / "saved"
    ClipBert.from_pretrained(run[0]).save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    config["clipbert"]["transformer"]["vocab_size"] = 10**12
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsFileError, match="(?s)wrong shape.*text_embedding.words.weight"):
        ClipBert.from_pretrained(folder)


def test_other_folders_and_names_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    BertModel(
        BertConfig(
            vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
        )
    ).save_pretrained(tmp_path / "bert")
    with pytest.raises(RecipeError, match="of a 'bert' model.*weights.transformer"):
        ClipBert.from_pretrained(tmp_path / "bert")
    with pytest.raises(
        FileNotFoundError, match="a URL is no model; give a path, or the name on the hub, me/mine"
    ):
        ClipBert.from_pretrained("https://huggingface.co/me/mine")
    with pytest.raises(RecipeError, match="neither a saved model .* nor the folder of a run"):
        ClipBert.from_pretrained(tmp_path)
    with pytest.raises(FileNotFoundError, match="nowhere.ckpt': no such file or folder"):
        ClipBert.from_pretrained(tmp_path / "nowhere.ckpt")
    with pytest.raises(
        FileNotFoundError, match="no model of that name is in the Hugging Face cache or could"
    ):
        ClipBert.from_pretrained("somebody/no-such-clipbert")


def test_a_hub_name_is_fetched_without_foreign_files(run, tmp_path, monkeypatch):
    import huggingface_hub

    ClipBert.from_pretrained(run[0]).save_pretrained(tmp_path / "saved")
    asked = {}

    def snapshot_download(name, revision=None, allow_patterns=None):
        asked.update(name=name, revision=revision, patterns=allow_patterns)
        return str(tmp_path / "saved")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    model = ClipBert.from_pretrained("somebody/clipbert", revision="v1")
    assert (
        same_state(model.network, run[1])
        and asked["name"] == "somebody/clipbert"
        and asked["revision"] == "v1"
    )
    assert not any("py" in pattern or "bin" in pattern for pattern in asked["patterns"])


def test_a_run_of_the_version_before_is_told_apart(tmp_path, tokenizer_dir):
    config = run_config(tokenizer_dir)
    make_run(tmp_path / "run", tokenizer_dir, config)
    del config["model_config"]["clipbert"]["backbone"]["type"]
    (tmp_path / "run" / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(
        RecipeError, match="is of a run of clipbert_mmf 0.1, which this version does not read"
    ):
        ClipBert.from_pretrained(tmp_path / "run" / "clipbert_final.pth")


def test_a_run_of_several_datasets_asks_which(tmp_path, tokenizer_dir):
    config = run_config(tokenizer_dir)
    config["dataset_config"]["other"] = config["dataset_config"]["msrvtt_retrieval"]
    config["datasets"] = "msrvtt_retrieval,other"
    make_run(tmp_path / "run", tokenizer_dir, config)
    with pytest.raises(RecipeError, match=r"several datasets: \['msrvtt_retrieval', 'other'\]"):
        ClipBert.from_pretrained(tmp_path / "run")
    assert ClipBert.from_pretrained(tmp_path / "run", dataset="other").recipe.dataset == "other"
    with pytest.raises(RecipeError, match="has no dataset 'third'"):
        ClipBert.from_pretrained(tmp_path / "run", dataset="third")


def test_a_model_that_answers_is_not_saved_without_its_answers(tmp_path, tokenizer_dir):
    make_run(tmp_path / "run", tokenizer_dir, head={"type": "classify", "num_answers": 5})
    model = ClipBert.from_pretrained(tmp_path / "run")
    with pytest.raises(RecipeError, match="the model has 5 outputs and 0 answers are known"):
        model.save_pretrained(tmp_path / "saved")


def test_answers_are_found_where_the_run_had_them(tmp_path, tokenizer_dir):
    config = run_config(tokenizer_dir, head={"type": "classify", "num_answers": 2})
    config["dataset_config"]["msrvtt_retrieval"].update(data_dir=str(tmp_path), answers="vocabulary.json")
    (tmp_path / "vocabulary.json").write_text('{"yes": 1, "no": 0}')
    make_run(tmp_path / "run", tokenizer_dir, config)
    assert ClipBert.from_pretrained(tmp_path / "run").answers == ("no", "yes")
    # What the run itself wrote is nearer.
    (tmp_path / "run" / "answers_msrvtt_retrieval.json").write_text('{"yes": 0, "no": 1}')
    assert ClipBert.from_pretrained(tmp_path / "run").answers == ("yes", "no")


def test_a_run_that_counted_its_answers_itself(tmp_path, tokenizer_dir):
    make_run(tmp_path / "run", tokenizer_dir, head={"type": "classify", "num_answers": 3})
    config = run_config(tokenizer_dir, head={"type": "classify", "num_answers": None})
    (tmp_path / "run" / "config.yaml").write_text(yaml.safe_dump(config))
    (tmp_path / "run" / "answers_msrvtt_retrieval.json").write_text('["a", "b", "c"]')
    ClipBert.from_pretrained(tmp_path / "run" / "clipbert_final.pth").save_pretrained(tmp_path / "saved")
    assert ClipBert.from_pretrained(tmp_path / "saved").answers == ("a", "b", "c")


@pytest.mark.parametrize(
    "name", sorted(path.parent.name for path in (config_dir() / "datasets").glob("*/defaults.yaml"))
)
def test_the_preprocessing_of_every_dataset_of_ours_is_understood(name):
    section = read_yaml(config_dir() / "datasets" / name / "defaults.yaml")["dataset_config"][name]
    found = Preprocessing.from_dataset(section, name)
    assert Preprocessing.from_dict(found.to_dict(), "again") == found and found.clips.image_size >= 224


@pytest.mark.parametrize(
    "content, message", [("{", "JSON"), ('{"a": 1}', "0 to 0, each once"), ("3", "an object {answer: index}")]
)
def test_other_answer_files_are_named(tmp_path, content, message):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        read_answers(tmp_path / "a.json")


def test_a_tokenizer_with_more_words_than_the_model_is_refused(tmp_path, tokenizer_dir):
    config = run_config(tokenizer_dir)
    config["model_config"]["clipbert"]["transformer"]["vocab_size"] = 30
    make_run(tmp_path / "run", tokenizer_dir, config)
    with pytest.raises(RecipeError, match="words and the model 30"):
        ClipBert.from_pretrained(tmp_path / "run").encode_texts(["a"])


def test_a_model_file_with_includes_is_read_without_mmf():
    config = load_model_config(config_dir() / "models" / "clipbert" / "tiny.yaml")
    assert config.backbone.options.depth == "resnet18" and config.transformer.max_rows == 100


def test_the_texts_and_clips_are_those_of_the_processors(run):
    from clipbert_mmf.plugin.processors import ClipBertTextProcessor, ClipBertVideoProcessor

    model = ClipBert.from_pretrained(run[0])
    section = yaml.safe_load((run[0] / "config.yaml").read_text())["dataset_config"]["msrvtt_retrieval"][
        "processors"
    ]
    text = ClipBertTextProcessor(section["text_processor"]["params"])
    media = ClipBertVideoProcessor(section["eval_media_processor"]["params"])
    texts = ["a red circle and a large blue square on the left right top bottom", "two"]
    assert all(
        torch.equal(ours, theirs) for ours, theirs in zip(model.encode_texts(texts), text(texts), strict=True)
    )
    assert media.options.clip_duration_sec == model.preprocessing.clips.clip_duration_sec
    assert media.frames_shape == (3, 2, 3, 64, 64)


def test_a_run_with_several_heads_gives_the_network_of_one_dataset_bit_for_bit(tmp_path, tokenizer_dir):
    config = run_config(tokenizer_dir)
    config["dataset_config"]["choices"] = config["dataset_config"]["msrvtt_retrieval"]
    config["datasets"] = "msrvtt_retrieval,choices"
    model = config["model_config"]["clipbert"]
    model["heads"] = {"msrvtt_retrieval": {"type": "match"}, "choices": {"type": "choose", "fold": "mean"}}
    model["losses"] = [
        {"type": "clipbert_match", "params": {"datasets": ["msrvtt_retrieval"]}},
        {"type": "clipbert_choice_ce", "params": {"datasets": ["choices"]}},
    ]
    network = make_run(tmp_path / "run", tokenizer_dir, config)
    for dataset, loss in (("msrvtt_retrieval", "clipbert_match"), ("choices", "clipbert_choice_ce")):
        one = ClipBert.from_pretrained(tmp_path / "run", dataset=dataset)
        one.save_pretrained(tmp_path / dataset)
        own = network.select(dataset).state_dict()
        expected = {name.replace(f"head.{dataset}.", "head."): value for name, value in own.items()}
        for found in (one, ClipBert.from_pretrained(tmp_path / dataset)):
            assert same_tensors(found.network.state_dict(), expected)
            assert found.network.fold == network.select(dataset).fold
            assert found.recipe.model.losses == ({"type": loss},)
    with pytest.raises(
        RecipeError, match=r"no head for dataset 'third'; it has \['choices', 'msrvtt_retrieval'\]"
    ):
        config["dataset_config"]["third"] = config["dataset_config"]["choices"]
        make_run(tmp_path / "more", tokenizer_dir, config)
        ClipBert.from_pretrained(tmp_path / "more", dataset="third")
