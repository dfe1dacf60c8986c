"""``clipbert demo``: a local web page on which a model is asked about videos."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from pathlib import Path
from types import FrameType

from clipbert_mmf.cli.model_options import load_model
from clipbert_mmf.cli.printing import print_result
from clipbert_mmf.cli.values import require_folder
from clipbert_mmf.demo.index_search import IndexSearch, require_folder_source
from clipbert_mmf.demo.session import DemoSession
from clipbert_mmf.demo.video_library import READ_TIMEOUT_SEC, VideoLibrary
from clipbert_mmf.inference.media import require_media
from clipbert_mmf.library.searching import Library
from clipbert_mmf.library.store import require_library


def run(options: argparse.Namespace) -> int:
    """Serve the page until a signal ends it; return 130 for Ctrl+C, 129 for SIGHUP, 0 for SIGTERM."""
    # Flask and waitress are an extra of the package: the page's arguments can be listed without them.
    from clipbert_mmf.demo.server import is_loopback, make_app, make_server

    if not 0 <= options.port < 65536:
        raise ValueError(f"--port is {options.port}; expected 0 to 65535")
    if not 0 <= options.max_upload_mb < 1e6:
        raise ValueError(f"--max-upload-mb is {options.max_upload_mb:g}; expected 0 or more megabytes")
    if options.videos is None and options.index is None:
        raise ValueError("give --videos FOLDER, or --index INDEX of clipbert index")
    if options.videos is not None and not options.model:
        raise ValueError(
            "--model is missing: a folder of videos has none; an index of clipbert index names its own"
        )
    model = load_model(options, lambda: _require_place(options)) if options.model else None
    opened = None
    if options.videos is None:
        opened = Library(options.index, model, options.model or "", timeout_sec=READ_TIMEOUT_SEC)
        model = opened.model
    assert model is not None
    model.require_answers()
    model.tokenizer  # noqa: B018  read now: a question would find out that it is not there
    folder = require_folder_source(opened, options.index) if opened is not None else options.videos
    assert folder is not None
    max_bytes = int(options.max_upload_mb * 1e6)
    library = VideoLibrary(folder, model.preprocessing, max_bytes, lists=opened is None)
    ended: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        ended.append(number)
        sys.exit(128 + number)

    with contextlib.ExitStack() as leaving:
        leaving.callback(library.close)
        # Uploads are removed however the page is ended, also when its terminal is closed.
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                leaving.callback(signal.signal, number, signal.signal(number, end))
        if opened is None and not library.list_folder():
            if not library.max_upload_bytes:
                require_media(folder, model.preprocessing.media)
            sys.stderr.write(f"warning: {folder} holds no {model.preprocessing.media}s yet\n")
        model_name = options.model or ("" if opened is None else opened.store.settings.model.name)
        session = DemoSession(
            model,
            library,
            options.index or folder / ".clipbert_index",
            model_name,
            options.saliency,
            None if opened is None else IndexSearch(opened, library),
        )
        if opened is None and "search" in session.modes:
            try:  # now: who starts the page can repair what is wrong with its folder
                session.index_folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise OSError(
                    f"a search cannot keep its encodings: {error}; give another folder by --index"
                ) from error
        title = options.title or f"Ask {Path(model_name).resolve().name or model_name}"
        app = make_app(session, title, options.host)
        leaving.callback(app.extensions["clipbert"].runner.close)
        server = make_server(app, options.host, options.port)
        if not is_loopback(options.host):
            sys.stderr.write(
                f"warning: {options.host} is not this machine alone. Whoever reaches it can see every video "
                f"in "
                f"{folder} and every upload, upload files and use this machine's time; there is no "
                f"password.\n"
            )
        shown = f"[{options.host}]" if ":" in options.host else options.host
        # waitress has no type for the attribute of its one-socket servers.
        url = f"http://{shown}:{server.effective_port}/"  # pyright: ignore[reportAttributeAccessIssue]
        print_result(options, {"url": url}, [f"{url} (Ctrl+C ends it)"])
        sys.stdout.flush()
        server.run()
    # A polite kill is how a service is ended, no failure.
    return 0 if not ended or ended[0] == signal.SIGTERM else 128 + ended[0]


def _require_place(options: argparse.Namespace) -> None:
    if options.videos is None:
        require_library(options.index)
    else:
        require_folder(options.videos, "--videos")
