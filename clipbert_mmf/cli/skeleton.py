"""Writes the first files of a dataset of your own.

A package that registers it, configurations, a table and a test.
"""

from __future__ import annotations

import importlib.util
import keyword
import re
from pathlib import Path
from string import Template

from clipbert_mmf.tasks.datasets import SPECS

#: Path below the new folder -> content; both are templates with ``$name``.
_FILES = {
    "__init__.py": '''"""The dataset $name, written by ``clipbert new-dataset``; change what differs."""

from pathlib import Path

from clipbert_mmf.extending import DatasetSpec, register_dataset

# corpus "video_text" reads tables and JSON lines with the columns video, text (or question, answer). For
# another format write a parser and register_format(...), see docs/extending.md.
register_dataset(
    DatasetSpec(
        "$name", corpus="video_text", task="retrieval", media="video",
        config=str(Path(__file__).parent / "configs" / "dataset.yaml"),
    )
)
''',
    "configs/dataset.yaml": """# The data: this folder, unless dataset_config.$name.data_dir says another.
dataset_config:
  $name:
    data_dir: $${env.user_dir}
    annotations:
      # Without a column "split" use share: [0.0, 0.8] in its place.
      train:
      - {file: annotations.csv, split: [train]}
      val:
      - {file: annotations.csv, split: [val]}
      test:
      - {file: annotations.csv, split: [test]}
    media: {train: videos, val: videos, test: videos}
    negatives_per_positive: 1
    processors:
      text_processor:
        type: clipbert_text
        params: {tokenizer: bert-base-uncased, max_length: 20}
      train_media_processor:
        type: clipbert_video
        params: {image_size: 448, num_clips: 4, num_frames: 1, sampling: random, fps: 2}
      eval_media_processor:
        type: clipbert_video
        params: {image_size: 448, num_clips: 16, num_frames: 1, sampling: uniform, fps: 2}
""",
    "configs/train.yaml": """# The recipe. Train with
# mmf_run config=$name/configs/train.yaml model=clipbert dataset=$name env.user_dir=$name env.save_dir=save/$name
includes:
- configs/training/clipbert.yaml
training:
  seed: 42
  batch_size: 16
  num_workers: 2
  max_epochs: 10
  evaluation_interval: 200
  checkpoint_interval: 200
  early_stop:
    criteria: val/$name/clipbert_retrieval/t2v_r1
    minimize: false
optimizer:
  type: AdamW
  params: {lr: 5.0e-05, betas: [0.9, 0.98], weight_decay: 0.001}
evaluation:
  metrics: [clipbert_retrieval]
""",
    "annotations.csv": """video,text,split
first.mp4,a description of the first video,train
second.mp4,a description of the second video,train
third.mp4,a description of the third video,val
fourth.mp4,a description of the fourth video,test
""",
    "videos/README.txt": "The videos of ../annotations.csv lie here, at any depth.\n",
    "test_$name.py": '''"""MMF knows the dataset and its table can be read: python $name/test_$name.py"""

from pathlib import Path

HERE = Path(__file__).resolve().parent


def test_the_dataset_is_registered():
    import mmf  # noqa: F401  (registers clipbert_mmf)
    from mmf.common.registry import registry

    from clipbert_mmf.inference.user_packages import import_user_package

    import_user_package(HERE)
    assert Path(registry.get_builder_class("$name").config_path()).is_file()


def test_the_table_can_be_read():
    from clipbert_mmf.annotations import read_annotations

    for split in ("train", "val", "test"):
        assert list(read_annotations(HERE / "annotations.csv", "video_text", splits=[split]))


if __name__ == "__main__":
    test_the_dataset_is_registered()
    test_the_table_can_be_read()
    print("$name: the dataset is known and its table can be read")
''',
}


def write_dataset_skeleton(name: str, directory: str | Path = ".") -> list[Path]:
    """Write a package ``name`` below a directory.

    Args:
        name: name of the dataset and its folder: lower-case letters, digits and underscores.
        directory: made if missing.

    Returns:
        The files that were written.

    Raises:
        ValueError: for a name with other characters, or one that a dataset or a Python module has.
        FileExistsError: if the folder exists already.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ValueError(
            f"the dataset's name is '{name}'; expected lower-case letters, digits and underscores"
        )
    owner = _find_owner(name)
    if owner:
        raise ValueError(
            f"the dataset's name is '{name}', which is {owner}; choose another, such as my_{name}"
        )
    folder = Path(directory) / name
    if folder.exists():
        raise FileExistsError(f"{folder} exists already; nothing was written")
    written = []
    for place, content in _FILES.items():
        path = folder / Template(place).substitute(name=name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(Template(content).substitute(name=name), encoding="utf-8")
        written.append(path)
    return written


def _find_owner(name: str) -> str:
    """Return what has a name already, in words; empty for a name that is free. MMF is not imported."""
    if name in SPECS:
        return "a dataset of clipbert_mmf"
    mmf = importlib.util.find_spec("mmf")
    for root in (mmf and mmf.submodule_search_locations) or ():
        if (Path(root) / "configs" / "datasets" / name).is_dir():
            return "a dataset of MMF"
    if keyword.iskeyword(name):
        return "a word of Python"
    found = importlib.util.find_spec(name)
    # A folder of the working directory without code is no module.
    return "a Python module" if found is not None and found.origin is not None else ""
