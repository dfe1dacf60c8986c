"""``clipbert embed``: embeddings of videos and texts from a model with a contrastive head."""

from __future__ import annotations

import argparse
from pathlib import Path

from tqdm import tqdm

from clipbert_mmf.cli.engine_options import choose_mapper, count_in
from clipbert_mmf.cli.model_options import load_model
from clipbert_mmf.cli.printing import print_result
from clipbert_mmf.inference.embedding import embed, list_media, require_contrastive_head
from clipbert_mmf.inference.embedding_files import require_embedding_file, write_embeddings


def run(options: argparse.Namespace) -> int:
    """Write the embeddings and print what the file holds."""
    require_embedding_file(options.out)
    mapper = choose_mapper(options) or map
    texts = list(options.texts)
    if options.texts_file:
        if not options.texts_file.is_file():
            raise FileNotFoundError(f"--texts-file {options.texts_file}: no such file")
        try:
            lines = options.texts_file.read_text(encoding="utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise ValueError(f"--texts-file {options.texts_file}: {error}; expected UTF-8 text") from error
        texts += [line.strip() for line in lines if line.strip()]
    if not options.media and not texts:
        raise ValueError("nothing to embed; give videos or folders, --texts or --texts-file")
    model = load_model(options, lambda: [_require_there(media) for media in options.media])
    require_contrastive_head(model)
    files = list_media(options.media, model.preprocessing.media)
    with tqdm(total=len(files), desc="videos", unit="file", disable=not files) as bar:
        found = embed(model, files, texts, files, count_in(bar, mapper))
    if files and not found.video_files:
        raise ValueError(
            f"none of {len(files)} videos can be read; the first: {next(iter(found.unreadable.values()))}"
        )
    write_embeddings(found, options.out)
    content = {
        "out": str(options.out),
        "num_videos": len(found.video_files),
        "num_texts": len(found.text_strings),
        "size": found.texts.shape[1],
        "model_sha256": found.model_hash,
        "unreadable": found.unreadable,
    }
    left_out = f", {len(found.unreadable)} unreadable" if found.unreadable else ""
    line = (
        f"wrote {options.out}: {content['num_videos']} videos and {content['num_texts']} texts of size "
        f"{content['size']}{left_out}"
    )
    print_result(options, content, [line])
    return 0


def _require_there(media: Path) -> None:
    """Raise ``FileNotFoundError`` where neither a file nor a folder is."""
    if not media.exists():
        raise FileNotFoundError(f"'{media}': no such file or folder")
