"""Writes a saved model and its card to the Hugging Face hub, or to a server that speaks as the hub does."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from clipbert_mmf.inference.model_card import PLACE

_LIBRARY_LINE = re.compile(r"^library_name: .*$", re.MULTILINE)


def upload_model(
    save: Callable[[Path], None],
    card: str,
    repo: str,
    *,
    private: bool | None = None,
    license: str | None = None,
    revision: str | None = None,
    message: str | None = None,
    token: str | None = None,
) -> str:
    """Upload a model in one commit; the repository is made where there is none.

    Args:
        save: writes the model to a folder.
        card: text of its ``README.md``.
        repo: ``owner/name``; without an owner that of the token.
        private: whether a new repository is; None is the owner's default.
        license: licence for the card's metadata, such as ``bsd-3-clause``.
        revision: branch, which must exist; None is ``main``.
        message: title of the commit.
        token: access token; None takes ``HF_TOKEN`` or what ``hf auth login`` kept.

    Returns:
        Address of the commit.

    Raises:
        ValueError: for a name that the hub does not allow.
        OSError: if the server cannot be reached, or refuses; nothing is uploaded in part.
    """
    from huggingface_hub import HfApi

    require_repo_name(repo)
    api = HfApi(token=token)
    with tempfile.TemporaryDirectory(prefix="clipbert_push_") as folder:
        save(Path(folder))
        try:
            place = api.create_repo(repo, private=private, exist_ok=True).repo_id
            text = card.replace(PLACE, place)
            if license:
                text = _LIBRARY_LINE.sub(lambda line: f"{line.group()}\nlicense: {license}", text, count=1)
            (Path(folder) / "README.md").write_text(text, encoding="utf-8")
            commit = api.upload_folder(
                repo_id=place,
                folder_path=folder,
                revision=revision,
                commit_message=message or "Upload a model of clipbert_mmf",
            )
        except Exception as error:  # the library raises its own and whatever its HTTP client raises
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
            raise OSError(
                f"'{repo}' cannot be written on {api.endpoint}: {reason}. A token that may write is needed: "
                f"'hf auth login', or HF_TOKEN"
            ) from error
    return str(commit.commit_url)


def require_repo_name(repo: str) -> None:
    """Raise ``ValueError`` for a name that the hub does not allow."""
    from huggingface_hub.utils import (  # older versions have no huggingface_hub.errors
        HFValidationError,  # pyright: ignore[reportPrivateImportUsage]
        validate_repo_id,  # pyright: ignore[reportPrivateImportUsage]
    )

    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise ValueError(f"'{repo}' is no name of a repository: {error}") from error
