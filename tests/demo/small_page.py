"""Small models and real videos that the tests of the demo page share."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from clipbert_mmf.demo.server import make_app, make_server
from clipbert_mmf.demo.session import DemoSession
from clipbert_mmf.demo.video_library import VideoLibrary
from clipbert_mmf.inference.pretrained import ClipBert
from tests.encoded_media import write_video
from tests.inference.small_run import make_run

MAX_UPLOAD_BYTES = 300_000


def make_model(folder: Path, tokenizer: Path, head: str) -> ClipBert:
    """Return a small model that is not trained."""
    answers = ("red", "green", "blue") if head == "classify" else ()
    make_run(folder, tokenizer, head={"type": head, "num_answers": len(answers) or None})
    if answers:
        (folder / "answers_msrvtt_retrieval.json").write_text(
            json.dumps({a: i for i, a in enumerate(answers)})
        )
    return ClipBert.from_pretrained(folder)


def write_folder(folder: Path) -> Path:
    """Write a folder of three videos, one of them deeper, beside a secret and a link that leads to it."""
    videos = folder / "videos"
    (videos / "deep").mkdir(parents=True)
    for number, name in enumerate(("a.mp4", "b & <i>.mp4", "deep/c.avi")):
        write_video(
            videos / name, 30 + 6 * number, fps=10, codec="mpeg4" if name.endswith("avi") else "libx264"
        )
    write_video(folder / "secret.mp4", 12)
    (videos / "leading_out.mp4").symlink_to(folder / "secret.mp4")
    (videos / ".hidden.mp4").write_bytes((folder / "secret.mp4").read_bytes())
    return videos


def make_session(
    model: ClipBert, videos: Path, index: Path, max_upload_bytes: int = MAX_UPLOAD_BYTES
) -> DemoSession:
    """Return what the page asks."""
    # One pass, where the default for so small a grid takes 65.
    return DemoSession(
        model, VideoLibrary(videos, model.preprocessing, max_upload_bytes), index, saliency="grad_cam"
    )


def find_id(session: DemoSession, name: str) -> str:
    """Return the id of a video of the folder."""
    return next(video.video_id for video in session.library.list_folder() if video.name == name)


@contextmanager
def serving(session: DemoSession) -> Iterator[tuple[str, int]]:
    """Serve the page on a free port of this machine."""
    app = make_app(session, "small model")
    server = make_server(app, "127.0.0.1", 0)

    def run() -> None:
        # Its sockets are closed below it: there is no other way to end it from outside.
        with suppress(OSError, ValueError):
            server.run()

    threading.Thread(target=run, daemon=True).start()
    try:
        yield "127.0.0.1", server.effective_port
    finally:
        server.close()
        server.task_dispatcher.shutdown()
        app.extensions["clipbert"].runner.close()
        session.library.close()
