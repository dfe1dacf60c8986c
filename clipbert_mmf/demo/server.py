"""Serve the page: Flask's routes over ``session``, served by waitress on this machine.

Nothing on the page comes from another machine: a policy that the browser enforces forbids it.
"""

from __future__ import annotations

import base64
import ipaddress
import logging
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from clipbert_mmf.demo.evidence_view import EvidenceView, draw_frame
from clipbert_mmf.demo.jobs import Job, JobRunner, TooBusyError
from clipbert_mmf.demo.session import DemoSession
from clipbert_mmf.demo.video_library import UnknownVideoError, UploadError, show_megabytes
from clipbert_mmf.demo.views import AnswerView
from clipbert_mmf.video.clips import Clips
from clipbert_mmf.video.errors import MediaError

if TYPE_CHECKING:  # optional libraries, imported where they are needed
    from flask import Flask, Response

    from clipbert_mmf.demo.connections import PageServer

logger = logging.getLogger(__name__)

#: Types that browsers play; another type is sent as a download, never guessed.
MIME_TYPES = {
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".webm": "video/webm",
    ".mov": "video/quicktime",
    ".mkv": "video/x-matroska",
    ".avi": "video/x-msvideo",
    ".mpg": "video/mpeg",
    ".mpeg": "video/mpeg",
    ".ts": "video/mp2t",
    ".3gp": "video/3gpp",
    ".gif": "image/gif",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".bmp": "image/bmp",
}
#: Largest form around an upload, and largest other form.
_FORM_BYTES = 1 << 20
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
#: Result of a job -> its template.
_FRAGMENTS = {AnswerView: "answer.html", EvidenceView: "evidence.html"}
#: Errors that are answers to the user; those of the system name paths and stay in the terminal.
_EXPECTED = (ValueError, MediaError, UnknownVideoError)


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True)
class Page:
    """The objects that the routes share.

    Attributes:
        session: model and videos.
        runner: runs the jobs.
        title: title of the page.
        host: address that is bound.
    """

    session: DemoSession
    runner: JobRunner
    title: str
    host: str = "127.0.0.1"


def make_app(session: DemoSession, title: str, host: str = "127.0.0.1") -> Flask:
    """Return the Flask application.

    Args:
        session: model and videos.
        title: title of the page.
        host: address it will be bound to. Bound to this machine alone, it answers to no other name, so that
            no foreign page can reach it by a name of its own (DNS rebinding).

    Raises:
        ImportError: if Flask is not installed.
    """
    try:
        from flask import Flask
    except ImportError as error:
        raise ImportError(
            "the demo page needs Flask and waitress: pip install flask waitress captum"
        ) from error
    from jinja2 import StrictUndefined

    app = Flask(__name__, template_folder="templates", static_folder=None)
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.config["MAX_CONTENT_LENGTH"] = session.library.max_upload_bytes + _FORM_BYTES
    app.config["MAX_FORM_MEMORY_SIZE"] = _FORM_BYTES
    page = Page(session, JobRunner(_EXPECTED), title, host)
    app.extensions["clipbert"] = page
    _add_guards(app, {*_LOOPBACK_NAMES, host} if is_loopback(host) else None)
    _add_page(app, page)
    _add_questions(app, page)
    _add_media(app, page)
    return app


def _add_guards(app: Flask, names: set[str] | None) -> None:
    """Refuse requests of other pages, and to other names than those given."""
    from flask import abort, g, jsonify, request
    from werkzeug.exceptions import HTTPException

    @app.before_request
    def refuse_other_sites() -> None:
        g.nonce = secrets.token_urlsafe(16)
        if names is not None and _read_host_name(request.headers.get("Host", "")) not in names:
            abort(400, "the page answers to the names of this machine alone")
        origin = request.headers.get("Origin")
        if request.method == "POST" and origin is not None and urlsplit(origin).netloc != request.host:
            abort(403, "requests of other pages are refused")

    @app.after_request
    def forbid_everything_foreign(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = (
            f"default-src 'none'; script-src 'nonce-{g.get('nonce', '')}'; style-src "
            f"'nonce-{g.get('nonce', '')}'; "
            "style-src-attr 'unsafe-inline'; img-src 'self' data:; media-src 'self'; connect-src 'self'; "
            "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        )
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    @app.errorhandler(Exception)
    def describe_error(error: Exception) -> tuple[Response, int]:
        if isinstance(error, UploadError):
            return jsonify(error=str(error)), 413 if error.is_too_large else 400
        if isinstance(error, UnknownVideoError):
            return jsonify(error=str(error)), 404
        if isinstance(error, TooBusyError):
            return jsonify(error=str(error)), 503
        if isinstance(error, (ValueError, MediaError)):
            return jsonify(error=str(error)), 400
        if isinstance(error, HTTPException):
            return jsonify(error=error.description), error.code or 500
        logger.error("a request of the page failed", exc_info=error)
        return jsonify(
            error="something went wrong here; the terminal that runs the page has the details"
        ), 500

    @app.errorhandler(413)
    def describe_excess(error: Exception) -> tuple[Response, int]:
        limit = show_megabytes(app.config["MAX_CONTENT_LENGTH"] - _FORM_BYTES)
        return jsonify(error=f"the upload is larger than the {limit} that are allowed"), 413


def _read_host_name(host: str) -> str | None:
    """Return the name in a Host header, without port and brackets; None for what is none."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _add_page(app: Flask, page: Page) -> None:
    from flask import g, render_template

    library, session = page.session.library, page.session

    @app.get("/")
    def show_page() -> str:
        return render_template(
            "page.html",
            nonce=g.nonce,
            title=page.title,
            modes=session.modes,
            folder=library.list_folder(),
            uploads=library.list_uploads(),
            endings=library.endings,
            max_bytes=library.max_upload_bytes,
            max_size=show_megabytes(library.max_upload_bytes),
            media=library.preprocessing.media,
            num_indexed=0 if session.index is None else session.index.num_media,
        )


def _add_questions(app: Flask, page: Page) -> None:
    from flask import abort, jsonify, render_template, request

    def start(work: Callable[[Job], Any]) -> tuple[Response, int]:
        return jsonify(job=page.runner.submit(work).job_id), 202

    @app.post("/ask/<mode>")
    def ask(mode: str) -> tuple[Response, int]:
        return start(page.session.prepare(mode, request.form.get("video", ""), request.form))

    @app.post("/evidence")
    def show_evidence() -> tuple[Response, int]:
        video, text, answer = (request.form.get(name, "") for name in ("video", "text", "answer"))
        return start(page.session.prepare_evidence(video, text, answer or None))

    @app.get("/jobs/<job_id>")
    def show_job(job_id: str) -> Response:
        job = page.runner.find(job_id)
        if job is None:
            abort(404, "this question is not known any more; ask again")
        if not job.is_finished:
            return jsonify(note=job.note, done=job.done, total=job.total)
        if job.error:
            return jsonify(error=job.error)
        name = _FRAGMENTS[type(job.result)]
        return jsonify(html=render_template(name, result=job.result, seconds=job.seconds))


def _add_media(app: Flask, page: Page) -> None:

    from flask import Response, abort, jsonify, request, send_file

    library = page.session.library

    @app.post("/upload")
    def upload() -> tuple[Response, int]:
        file = request.files.get("file")
        if file is None or not file.filename:
            abort(400, "no file was sent")
        video = library.add_upload(file.stream, file.filename)
        return jsonify(video=video.video_id, name=video.name), 201

    @app.get("/media/<video_id>")
    def show_media(video_id: str) -> Response:
        video = library.find(video_id)
        kind = MIME_TYPES.get(video.path.suffix.lower(), "application/octet-stream")
        return send_file(video.path, mimetype=kind, conditional=True, etag=False, max_age=0)

    @app.get("/picture/<video_id>")
    def show_picture(video_id: str) -> Response:
        video, moment = library.find(video_id), _read_moment(request.args)
        draw = _draw_middle if moment is None else _draw_first
        return Response(library.draw_picture(video, draw, moment), mimetype="image/jpeg")


def _read_moment(arguments: Mapping[str, str]) -> tuple[float, float] | None:
    """Return the part of a video that a picture is asked of.

    Raises:
        ValueError: if it is none.
    """
    if "from" not in arguments and "to" not in arguments:
        return None
    try:
        start, end = float(arguments.get("from", "")), float(arguments.get("to", ""))
    except ValueError:
        start, end = 0.0, -1.0
    if not 0 <= start <= end < 1e9:
        raise ValueError("the moment of a picture is no part of a video")
    return start, end


def _draw_first(clips: Clips) -> bytes:
    """Return the JPEG of the first clip."""
    return base64.b64decode(draw_frame(clips.frames, 0, 480).partition(",")[2])


def _draw_middle(clips: Clips) -> bytes:
    """Return the JPEG of the middle clip."""
    url = draw_frame(clips.frames, len(clips.frames) // 2, 480)
    return base64.b64decode(url.partition(",")[2])


def make_server(app: Flask, host: str, port: int) -> PageServer:
    """Return a server that is bound already; ``effective_port`` says where, ``run()`` serves.

    Raises:
        ImportError: if waitress is not installed.
        OSError: if the address cannot be bound.
    """
    try:
        import waitress  # noqa: F401  # pyright: ignore[reportUnusedImport]

        from clipbert_mmf.demo.connections import PageServer
    except ImportError as error:
        raise ImportError(
            "the demo page needs Flask and waitress: pip install flask waitress captum"
        ) from error
    # A body somewhat too large still reaches the page's own message; beyond that the connection is cut.
    limit = 2 * app.config["MAX_CONTENT_LENGTH"]
    try:
        return PageServer(app, host, port, num_threads=8, max_body_bytes=limit)
    except OSError as error:
        reason = error.strerror or error
        raise OSError(
            f"cannot listen on {host} port {port}: {reason}; --port 0 takes any free one"
        ) from error
