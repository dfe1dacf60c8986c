#!/usr/bin/env python3
"""Make the pictures of the documentation anew: the page as GIF and PNG, and a report.

Asks the demo page in a headless Chromium, as a person would. Needs chromium, chromedriver, selenium and a trained
retrieval model with its predictions, such as the quickstart's after ``clipbert predict save/quickstart/retrieval``.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import io
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
FIGURES = ROOT / "docs" / "figures"
TEXTS = "first a large yellow square in the middle , then a large blue cross at the top\na red circle\na green star"
VIDEO = "video420.mp4"


@contextlib.contextmanager
def serve_page(model: str, videos: str, index: Path) -> Iterator[str]:
    """Start ``clipbert demo`` and yield the address of its page; end it afterwards."""
    command = [sys.executable, "-m", "clipbert_mmf.cli.main", "demo", "--model", model, "--videos", videos]
    command += ["--port", "0", "--index", str(index), "--title", "Ask the quickstart's model"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        found = re.search(r"http://\S+", process.stdout.readline()) if process.stdout else None
        if found is None:
            raise RuntimeError(f"'{' '.join(command)}' gave no address; see its message above")
        yield found[0]
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def open_browser(width: int, height: int) -> Iterator[Any]:
    """Yield a headless Chromium in light colours."""
    from selenium import webdriver

    browser, driver = (shutil.which(name) for name in ("chromium", "chromedriver"))
    if not browser or not driver:
        raise FileNotFoundError("chromium and chromedriver are needed; install them by the system's packages")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=driver))
    try:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        yield opened
    finally:
        opened.quit()


def take_picture(browser: Any, width: int, height: int) -> Image.Image:
    """Return the top of the page, as wide and high as given, in pixels."""
    clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
    found = browser.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
    return Image.open(io.BytesIO(base64.b64decode(found["data"]))).convert("RGB")


def wait_for(browser: Any, script: str, seconds: float = 120) -> None:
    """Wait until an expression of JavaScript is true."""
    end = time.monotonic() + seconds
    while not browser.execute_script(f"return Boolean({script})"):
        if time.monotonic() > end:
            raise TimeoutError(f"'{script}' was not true within {seconds:g} s")
        time.sleep(0.2)


def picture_page(address: str) -> list[Image.Image]:
    """Ask the page about a video and return a picture of each step; the last is of the whole answer."""
    width, height = 1200, 1060
    steps = []
    with open_browser(width, height) as browser:
        browser.get(address)
        wait_for(browser, "document.querySelectorAll('#thumbs img').length >= 12")
        steps.append(take_picture(browser, width, height))
        browser.execute_script(
            "const chosen = [...video.options].find((one) => one.textContent.endsWith(arguments[0]));"
            "video.value = chosen.value; showPreview()",
            VIDEO,
        )
        wait_for(browser, "document.querySelector('#preview video, #preview img')")
        time.sleep(1.5)
        browser.execute_script("$('score-texts').value = arguments[0]", TEXTS)
        steps.append(take_picture(browser, width, height))
        browser.execute_script("document.querySelector('#form-score button').click()")
        wait_for(browser, "document.querySelector('#result-view .timeline')")
        for clip in (None, 1, 6):
            if clip is not None:
                browser.execute_script(
                    "document.querySelectorAll('.timeline button')[arguments[0]].click()", clip
                )
            time.sleep(1)
            browser.execute_script("scrollTo(0, 0)")
            steps.append(take_picture(browser, width, height))
    return steps


def write_gif(steps: list[Image.Image], path: Path, width: int = 840) -> None:
    """Write an animation, two seconds for each step."""
    small = [
        step.resize((width, round(step.height * width / step.width)), Image.Resampling.LANCZOS)
        for step in steps
    ]
    frames = [one.quantize(224, dither=Image.Dither.NONE) for one in small]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=2200, loop=0, optimize=True)


def main() -> None:
    """Parse the arguments and make the pictures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", default="save/quickstart/retrieval", help="run with predictions")
    parser.add_argument("--data-dir", default="data/demo/msrvtt", help="corpus of the run")
    parser.add_argument("--out", type=Path, default=FIGURES)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        with serve_page(arguments.run, f"{arguments.data_dir}/videos", Path(folder) / "index") as address:
            steps = picture_page(address)
        steps[2].save(arguments.out / "demo_page.png", optimize=True)
        write_gif(steps, arguments.out / "demo_page.gif")
        page = Path(folder) / "report.html"
        command = [sys.executable, "-m", "clipbert_mmf.cli.main", "report", arguments.run, "--out", str(page)]
        subprocess.run([*command, "--data-dir", arguments.data_dir, "--examples", "1"], check=True)
        with open_browser(1100, 1000) as browser:
            browser.get(page.as_uri())
            take_picture(browser, 1100, 1650).save(arguments.out / "report_demo.png", optimize=True)


if __name__ == "__main__":
    main()
