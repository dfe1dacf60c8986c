"""The page on the web: Flask's routes over ``questions``, served by waitress on this machine.

Comes last. Nothing on the page comes from another machine: a policy that the browser enforces forbids it.
"""

from __future__ import annotations

import ipaddress
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from clipbert_mmf.demo.jobs import Job, JobRunner, TooBusyError
from clipbert_mmf.demo.pictures import Explained, draw_frame
from clipbert_mmf.demo.questions import Asker
from clipbert_mmf.demo.records import Told
from clipbert_mmf.demo.shelf import UnknownVideoError, UploadError, show_megabytes
from clipbert_mmf.video.errors import MediaError

logger = logging.getLogger(__name__)

#: What is sent with the types that browsers know; another type is downloaded, never guessed.
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
#: Of a form around an upload, and of everything else that is posted.
_FORM_BYTES = 1 << 20
_LOOPBACK_NAMES = ["localhost", "127.0.0.1", "[::1]"]
#: Templates of the results.
_FRAGMENTS = {Told: "told.html", Explained: "explained.html"}
#: Errors that are answers to the user; those of the system name paths and stay in the terminal.
_EXPECTED = (ValueError, MediaError, UnknownVideoError)


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True)
class Page:
    """What the routes work with.

    Attributes:
        asker: model and videos.
        runner: of the jobs.
        title: of the model, for people.
        host: that is bound.
    """

    asker: Asker
    runner: JobRunner
    title: str
    host: str = "127.0.0.1"


def make_app(asker: Asker, title: str, host: str = "127.0.0.1"):
    """Return the Flask application.

    Args:
        asker: model and videos.
        title: what the page calls the model.
        host: the address it will be bound to: bound to this machine alone, it answers to no other name, so that no
            foreign page can reach it by a name of its own (DNS rebinding).

    Raises:
        ImportError: if Flask is not installed.
    """
    try:
        from flask import Flask
    except ImportError as error:
        raise ImportError(
            "the demo page needs Flask and waitress: pip install 'clipbert_mmf[demo]'"
        ) from error
    from jinja2 import StrictUndefined

    app = Flask(__name__, template_folder="templates", static_folder=None)
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.config["MAX_CONTENT_LENGTH"] = asker.shelf.max_upload_bytes + _FORM_BYTES
    app.config["MAX_FORM_MEMORY_SIZE"] = _FORM_BYTES
    if is_loopback(host):
        app.config["TRUSTED_HOSTS"] = [*_LOOPBACK_NAMES, host]
    page = Page(asker, JobRunner(_EXPECTED), title, host)
    app.extensions["clipbert"] = page
    _add_guards(app)
    _add_page(app, page)
    _add_questions(app, page)
    _add_media(app, page)
    return app


def _add_guards(app) -> None:
    from flask import abort, g, jsonify, request
    from werkzeug.exceptions import HTTPException

    @app.before_request
    def refuse_other_sites():
        g.nonce = secrets.token_urlsafe(16)
        origin = request.headers.get("Origin")
        if request.method == "POST" and origin is not None and urlsplit(origin).netloc != request.host:
            abort(403, "requests of other pages are refused")

    @app.after_request
    def forbid_everything_foreign(response):
        response.headers["Content-Security-Policy"] = (
            f"default-src 'none'; script-src 'nonce-{g.get('nonce', '')}'; style-src 'nonce-{g.get('nonce', '')}'; "
            "style-src-attr 'unsafe-inline'; img-src 'self' data:; media-src 'self'; connect-src 'self'; "
            "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        )
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    @app.errorhandler(Exception)
    def say_it(error):
        if isinstance(error, UploadError):
            return jsonify(error=str(error)), 413 if error.is_too_large else 400
        if isinstance(error, UnknownVideoError):
            return jsonify(error=str(error)), 404
        if isinstance(error, TooBusyError):
            return jsonify(error=str(error)), 503
        if isinstance(error, (ValueError, MediaError)):
            return jsonify(error=str(error)), 400
        if isinstance(error, HTTPException):
            return jsonify(error=error.description), error.code
        logger.error("a request of the page failed", exc_info=error)
        return jsonify(
            error="something went wrong here; the terminal that runs the page has the details"
        ), 500

    @app.errorhandler(413)
    def say_too_large(error):
        limit = show_megabytes(app.config["MAX_CONTENT_LENGTH"] - _FORM_BYTES)
        return jsonify(error=f"the upload is larger than the {limit} that are allowed"), 413


def _add_page(app, page: Page) -> None:
    from flask import g, render_template

    shelf, asker = page.asker.shelf, page.asker

    @app.get("/")
    def show_page():
        return render_template(
            "page.html",
            nonce=g.nonce,
            title=page.title,
            modes=asker.modes,
            folder=shelf.list_folder(),
            uploads=shelf.list_uploads(),
            endings=shelf.endings,
            max_bytes=shelf.max_upload_bytes,
            max_size=show_megabytes(shelf.max_upload_bytes),
            media=shelf.preprocessing.media,
        )


def _add_questions(app, page: Page) -> None:
    from flask import abort, jsonify, render_template, request

    def start(work: Callable[[Job], Any]):
        return jsonify(job=page.runner.submit(work).job_id), 202

    @app.post("/ask/<mode>")
    def ask(mode: str):
        return start(page.asker.prepare(mode, request.form.get("video", ""), request.form))

    @app.post("/evidence")
    def show_evidence():
        video, text, answer = (request.form.get(name, "") for name in ("video", "text", "answer"))
        return start(page.asker.prepare_evidence(video, text, answer or None))

    @app.get("/jobs/<job_id>")
    def show_job(job_id: str):
        job = page.runner.find(job_id)
        if job is None:
            abort(404, "this question is not known any more; ask again")
        if not job.is_finished:
            return jsonify(note=job.note, done=job.done, total=job.total)
        if job.error:
            return jsonify(error=job.error)
        name = _FRAGMENTS[type(job.result)]
        return jsonify(html=render_template(name, result=job.result, seconds=job.seconds))


def _add_media(app, page: Page) -> None:
    import base64

    from flask import Response, abort, jsonify, request, send_file

    shelf = page.asker.shelf

    @app.post("/upload")
    def upload():
        file = request.files.get("file")
        if file is None or not file.filename:
            abort(400, "no file was sent")
        video = shelf.add_upload(file.stream, file.filename)
        return jsonify(video=video.video_id, name=video.name), 201

    @app.get("/media/<video_id>")
    def show_media(video_id: str):
        video = shelf.find(video_id)
        kind = MIME_TYPES.get(video.path.suffix.lower(), "application/octet-stream")
        return send_file(video.path, mimetype=kind, conditional=True, etag=False, max_age=0)

    @app.get("/picture/<video_id>")
    def show_picture(video_id: str):
        frames = shelf.read_clips(shelf.find(video_id)).frames
        url = draw_frame(frames, len(frames) // 2, 480)
        return Response(base64.b64decode(url.partition(",")[2]), mimetype="image/jpeg")


def make_server(app, host: str, port: int):
    """Return a waitress server that is bound already; ``effective_port`` says where, ``run()`` serves.

    Raises:
        ImportError: if waitress is not installed.
        OSError: if the address cannot be bound.
    """
    try:
        from waitress import create_server
    except ImportError as error:
        raise ImportError(
            "the demo page needs Flask and waitress: pip install 'clipbert_mmf[demo]'"
        ) from error
    # A body somewhat too large still reaches the page's own message; beyond that the connection is cut.
    limit = 2 * app.config["MAX_CONTENT_LENGTH"]
    try:
        return create_server(app, host=host, port=port, threads=8, max_request_body_size=limit, ident=None)
    except OSError as error:
        reason = error.strerror or error
        raise OSError(
            f"cannot listen on {host} port {port}: {reason}; --port 0 takes any free one"
        ) from error
