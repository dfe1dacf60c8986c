"""The page as a server: real requests of every kind, most of them ill-meant, and the command that starts it."""

import http.client
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from clipbert_mmf.cli.main import main
from clipbert_mmf.demo.jobs import Job
from clipbert_mmf.demo.server import make_app, make_server
from clipbert_mmf.inference.pretrained import ClipBert
from tests.demo.small_page import MAX_UPLOAD_BYTES, make_model, make_session, serving, write_folder

pytest.importorskip("flask", reason="flask is not installed: pip install flask waitress captum")
pytest.importorskip("waitress", reason="waitress is not installed: pip install flask waitress captum")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def videos(folder):
    return write_folder(folder)


@pytest.fixture(scope="module")
def server(folder, videos, tokenizer_dir):
    model = make_model(folder / "run", tokenizer_dir, "match")
    with serving(make_session(model, videos, folder / "index")) as address:
        yield address


def ask(server, method, path, body=None, headers=None):
    """Send a request as it is, and return status, headers and body."""
    connection = http.client.HTTPConnection(*server, timeout=60)
    connection.putrequest(method, path, skip_host="Host" in (headers or {}))
    for name, value in {
        **(headers or {}),
        **({"Content-Length": str(len(body))} if body is not None else {}),
    }.items():
        connection.putheader(name, value)
    connection.endheaders(body)
    answer = connection.getresponse()
    return answer.status, answer.headers, answer.read()


def make_form(**fields):
    """Return a multipart body and its headers; a pair is a file's name and bytes."""
    parts = []
    for name, value in fields.items():
        extra, data = (
            (f'; filename="{value[0]}"', value[1]) if isinstance(value, tuple) else ("", value.encode())
        )
        parts.append(
            f'--x\r\nContent-Disposition: form-data; name="{name}"{extra}\r\n\r\n'.encode() + data + b"\r\n"
        )
    return b"".join(parts) + b"--x--\r\n", {"Content-Type": "multipart/form-data; boundary=x"}


def ids_of(server):
    page = ask(server, "GET", "/")[2].decode()
    return {name: video for video, name in re.findall(r'<option value="([^"]+)">([^<]+)</option>', page)}


def wait_for(server, job):
    for _ in range(300):
        state = json.loads(ask(server, "GET", f"/jobs/{job}")[2])
        if "html" in state or "error" in state:
            return state
        time.sleep(0.1)
    raise AssertionError(state)


def test_the_page_names_videos_without_paths_and_lets_nothing_foreign_in(server, videos):
    status, headers, body = ask(server, "GET", "/")
    page = body.decode()
    assert status == 200 and "b &amp; &lt;i&gt;.mp4" in page and "deep/c.avi" in page
    assert str(videos.parent) not in page and "leading_out" not in page and "hidden" not in ids_of(server)
    assert not re.findall(r"https?://", page)
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "http" not in policy and "unsafe-eval" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff" and "Server" not in headers


@pytest.mark.parametrize(
    "path",
    [
        "/media/../../secret.mp4",
        "/media/..%2f..%2fsecret.mp4",
        "/media/%2e%2e/%2e%2e/secret.mp4",
        "/media//etc/passwd",
        "/media/%2fetc%2fpasswd",
        "/media/a.mp4",
        "/media/leading_out.mp4",
        "/media/.hidden.mp4",
        "/picture/..%2fsecret.mp4",
        "/../../etc/passwd",
        "/file=/etc/passwd",
        "/static/page.html",
        "/media/",
        "/templates/page.html",
        "/media/a%00.mp4",
    ],
)
def test_no_path_reads_a_file(server, path):
    status, _, body = ask(server, "GET", path)
    assert status in (308, 400, 404) and b"root:" not in body and b"ftyp" not in body


def test_a_video_is_sent_whole_in_parts_and_as_a_picture(server, videos):
    video, data = ids_of(server)["a.mp4"], (videos / "a.mp4").read_bytes()
    status, headers, body = ask(server, "GET", f"/media/{video}")
    assert (status, headers["Content-Type"], body) == (200, "video/mp4", data) and str(videos) not in str(
        headers
    )
    status, headers, body = ask(server, "GET", f"/media/{video}", headers={"Range": "bytes=10-19"})
    assert (status, body) == (206, data[10:20])
    assert ask(server, "GET", f"/picture/{video}")[2].startswith(b"\xff\xd8\xff")


def test_other_names_and_other_pages_are_refused(server):
    body, form = make_form(text="a red circle")
    assert ask(server, "GET", "/", headers={"Host": "evil.example"})[0] == 400
    assert ask(server, "POST", "/ask/search", body, {**form, "Origin": "http://evil.example"})[0] == 403
    assert (
        ask(server, "POST", "/ask/search", body, {**form, "Origin": f"http://127.0.0.1:{server[1]}"})[0]
        == 202
    )


def test_uploads_are_limited_on_the_server(server, videos, folder):
    def upload(name, data):
        body, headers = make_form(file=(name, data))
        status, _, answer = ask(server, "POST", "/upload", body, headers)
        return status, json.loads(answer)

    data = (videos / "a.mp4").read_bytes()
    status, answer = upload("../../mine.mp4", data)
    assert status == 201 and answer["name"] == "mine.mp4" and not (folder / "mine.mp4").exists()
    assert ask(server, "GET", f"/media/{answer['video']}")[2] == data
    assert upload("page.html", b"<script>alert(1)</script>")[0] == 400
    status, answer = upload("page.mp4", b"<script>alert(1)</script>")
    assert status == 400 and "'page.mp4' cannot be read" in answer["error"]
    assert upload("large.mp4", b"0" * (MAX_UPLOAD_BYTES + 1))[0] == 413
    status, answer = upload("larger.mp4", b"0" * (MAX_UPLOAD_BYTES + (3 << 19)))
    assert status == 413 and "larger than the 0.3 MB" in answer["error"]
    assert ask(server, "POST", "/upload", b"", {"Content-Type": "multipart/form-data; boundary=x"})[0] == 400
    # What says that it is far too large is not read at all.
    connection = http.client.HTTPConnection(*server, timeout=60)
    connection.putrequest("POST", "/upload")
    connection.putheader("Content-Length", str(10**12))
    connection.endheaders()
    assert connection.getresponse().status == 413


def test_a_question_is_answered_and_words_are_escaped(server):
    body, form = make_form(video=ids_of(server)["a.mp4"], texts="<script>alert(1)</script>\na red circle")
    status, _, answer = ask(server, "POST", "/ask/score", body, form)
    html = wait_for(server, json.loads(answer)["job"])["html"]
    assert status == 202 and "&lt;script&gt;" in html and "<script" not in html and html.count("<button") > 3
    body, form = make_form(text="a red circle", top="9")
    job = json.loads(ask(server, "POST", "/ask/search", body, form)[2])["job"]
    assert wait_for(server, job)["html"].count("<img") == 3


@pytest.mark.parametrize(
    "method, path, fields, status",
    [
        ("POST", "/ask/score", {"texts": "a"}, 400),
        ("POST", "/ask/score", {"video": "nope", "texts": "a"}, 404),
        ("POST", "/ask/fly", {}, 400),
        ("POST", "/evidence", {"video": "nope", "text": "a"}, 404),
        ("GET", "/jobs/nope", {}, 404),
        ("GET", "/ask/score", {}, 405),
        ("POST", "/ask/score", {"texts": "a" * 2_000_000}, 413),
    ],
)
def test_what_is_wrong_with_a_request_is_told_in_a_sentence(server, method, path, fields, status):
    body, form = make_form(**fields)
    found, _, answer = ask(server, method, path, *((body, form) if method == "POST" else ()))
    assert found == status and json.loads(answer)["error"] and b"Traceback" not in answer


def test_a_port_that_is_taken_is_named(server, folder, videos):
    from flask import Flask

    app = Flask("other")
    app.config["MAX_CONTENT_LENGTH"] = 1
    with pytest.raises(
        OSError, match=f"cannot listen on 127.0.0.1 port {server[1]}: .*--port 0 takes any free one"
    ):
        make_server(app, *server)


def test_what_is_not_installed_is_named_with_its_command(
    server, folder, videos, tokenizer_dir, tmp_path, monkeypatch, capsys
):
    arguments = ["demo", "--model", str(folder / "run"), "--videos", str(videos), "--port", "0", "--index"]
    (tmp_path / "file").write_text("no folder")
    assert main([*arguments, str(tmp_path / "file")]) == 1
    assert "a search cannot keep its encodings" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "captum", None)
    session = make_session(ClipBert.from_pretrained(folder / "run"), videos, tmp_path / "index")
    view = session.prepare("score", session.library.list_folder()[0].video_id, {"texts": "a red circle"})(
        Job("x")
    )
    assert view.rows and view.evidence is None and "pip install captum" in view.missing
    session.library.close()
    for library in ("waitress", "flask"):
        monkeypatch.setitem(sys.modules, library, None)
        assert main([*arguments, str(tmp_path / "index")]) == 1
        error = capsys.readouterr().err
        assert "pip install flask waitress captum" in error and len(error.splitlines()) == 1


@pytest.mark.parametrize(
    "option, message",
    [
        (["--port", "70000"], "--port is 70000; expected 0 to 65535"),
        (["--max-upload-mb", "-1"], "--max-upload-mb is -1"),
        (["--videos", "nowhere"], "'nowhere': no such folder"),
    ],
)
def test_an_option_out_of_range_is_named(server, folder, videos, option, message, capsys):
    given = {"--model": str(folder / "run"), "--videos": str(videos), **dict([option])}
    assert main(["demo", *itertools.chain(*given.items())]) == 1
    assert message in capsys.readouterr().err


def test_what_a_question_would_miss_is_found_before_the_page_is_served(
    folder, videos, tokenizer_dir, tmp_path, capsys
):
    (tmp_path / "none").mkdir()
    arguments = ["demo", "--videos", str(tmp_path / "none"), "--max-upload-mb", "0", "--port", "0", "--model"]
    assert main([*arguments, str(folder / "run")]) == 1
    assert "holds no videos; looked for" in capsys.readouterr().err
    shutil.copytree(tokenizer_dir, tmp_path / "tokenizer")
    make_model(tmp_path / "run", tmp_path / "tokenizer", "match")
    shutil.rmtree(tmp_path / "tokenizer")
    arguments[2] = str(videos)
    assert main([*arguments, str(tmp_path / "run")]) == 1
    assert "no such directory or hub name" in capsys.readouterr().err


@pytest.mark.parametrize("ending, code", [("SIGTERM", 0), ("SIGINT", 130), ("SIGHUP", 129)])
def test_the_command_serves_warns_and_clears_up(ending, code, folder, videos, tokenizer_dir, tmp_path):
    make_model(tmp_path / "run", tokenizer_dir, "match")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path), "CLIPBERT_MMF_HOST": "0"}
    command = [
        sys.executable,
        "-m",
        "clipbert_mmf.cli.main",
        "demo",
        "--model",
        str(tmp_path / "run"),
        "--videos",
        str(videos),
        "--index",
        str(tmp_path / "index"),
        "--port",
        "0",
    ]
    process = subprocess.Popen(
        [*command, "--host", "0.0.0.0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        # nohup, under which a suite may run, has SIGHUP ignored.
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )
    port = re.fullmatch(r"http://0\.0\.0\.0:(\d+)/ .*\n", process.stdout.readline())[1]
    assert urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30).status == 200
    assert list(tmp_path.glob("clipbert_demo_*"))
    address, (body, form) = ("127.0.0.1", int(port)), make_form(text="a red circle")
    if ending == "SIGTERM":
        job = json.loads(ask(address, "POST", "/ask/search", body, form)[2])["job"]
        assert "html" in wait_for(address, job)
    process.send_signal(getattr(signal, ending))
    _, errors = process.communicate(timeout=30)
    assert process.returncode == code and not list(tmp_path.glob("clipbert_demo_*"))
    assert "0.0.0.0 is not this machine alone" in errors and "Traceback" not in errors


def test_the_page_answers_under_the_address_of_ipv6(folder, videos):
    session = make_session(ClipBert.from_pretrained(folder / "run"), videos, folder / "index")
    client = make_app(session, "small model", "::1").test_client()
    for name, status in (("[::1]:80", 200), ("[::1]", 200), ("localhost:1", 200), ("[::2]", 400), ("[", 400)):
        assert client.get("/", headers={"Host": name}).status_code == status, name
    session.library.close()
