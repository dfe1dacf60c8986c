"""The page in a real browser: a real video is chosen, uploaded, asked about, looked into.

Nothing leaves the machine.
"""

import itertools

import pytest

from tests.browsing import list_requests, set_width
from tests.demo.small_page import make_model, make_session, serving, write_folder
from tests.encoded_media import write_video

pytest.importorskip("flask", reason="flask is not installed: pip install flask waitress captum")
pytest.importorskip("captum", reason="captum is not installed: pip install flask waitress captum")


@pytest.fixture(scope="module", params=["match", "classify"])
def page(request, tmp_path_factory, tokenizer_dir):
    folder = tmp_path_factory.mktemp("browser")
    session = make_session(
        make_model(folder / "run", tokenizer_dir, request.param), write_folder(folder), folder / "index"
    )
    with serving(session) as (host, port):
        yield request.param, f"http://{host}:{port}/", folder


def wait_until(browser, condition, seconds=60):
    from selenium.common.exceptions import StaleElementReferenceException
    from selenium.webdriver.support.ui import WebDriverWait

    # What is asked for may be replaced between finding and reading it.
    return WebDriverWait(browser, seconds, 0.1, [StaleElementReferenceException]).until(
        lambda driver: condition()
    )


def assert_fits(browser, width):
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert (
        browser.execute_script(
            "return [...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > "
            "innerWidth + 1"
            " && !e.classList.contains('offscreen')).map(e => e.outerHTML.slice(0, 80))"
        )
        == []
    )


def assert_everything_has_a_name(browser):
    """Every control is labelled and every picture described, or marked as decoration beside its words."""
    assert (
        browser.execute_script(
            "return [...document.querySelectorAll('input, select, textarea')].filter(e => "
            "!e.labels.length).map(e => e.id)"
        )
        == []
    )
    assert (
        browser.execute_script(
            "return [...document.querySelectorAll('button')].filter(e => !e.textContent.trim()).map(e => "
            "e.outerHTML)"
        )
        == []
    )
    assert browser.execute_script(
        "return [...document.images].every(i => i.hasAttribute('alt') && (i.hidden || (i.complete && "
        "i.naturalWidth > 0)))"
    )
    levels = browser.execute_script(
        "return [...document.querySelectorAll('h1,h2,h3')].map(h => +h.tagName[1])"
    )
    assert levels[0] == 1 and all(after - before <= 1 for before, after in itertools.pairwise(levels))


@pytest.mark.parametrize("width", [360, 1440])
def test_a_video_is_chosen_asked_about_and_looked_into(page, browser, width):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import Select

    head, address, _folder = page
    set_width(browser, width)
    list_requests(browser), browser.get_log("browser")
    browser.get(address)

    def find(selector):
        return browser.find_elements(By.CSS_SELECTOR, selector)

    mode, field, words = (
        ("score", "texts", "a red circle\ntwo dogs")
        if head == "match"
        else ("ask", "question", "what color is it")
    )
    form = f"#form-{mode}"
    find(f"#{mode}-{field}")[0].send_keys(words)
    find(f"{form} button")[0].click()
    wait_until(browser, lambda: find("#error")[0].text == "Choose a video first.")
    wait_until(browser, lambda: len(find("#thumbs button > img")) == 3)
    find("#thumbs button")[2].click()
    assert find("#video")[0].get_attribute("value") == find("#thumbs button")[2].get_attribute("data-id")
    Select(find("#video")[0]).select_by_visible_text("b & <i>.mp4")
    wait_until(browser, lambda: find("#preview video, #preview img"))
    # By keyboard: the form is sent from its button.
    find(f"{form} button")[0].send_keys(Keys.ENTER)
    wait_until(browser, lambda: find("#result-view .answer"))
    assert (
        find("#error")[0].text == ""
        and browser.switch_to.active_element.get_attribute("id") == "result-title"
    )
    shares = [float(share.text.rstrip(" %")) for share in find(".rows .share")]
    assert shares == sorted(shares, reverse=True) and len(shares) == (2 if head == "match" else 3)
    clips = find(".timeline button")
    assert len(clips) == 3 and "0.0 to 1.0 s" in clips[0].text
    pressed = [clip.get_attribute("aria-pressed") for clip in clips]
    assert pressed.count("true") == 1
    other = pressed.index("false")
    clips[other].send_keys(Keys.SPACE)
    panels = find(".frames")
    assert [panel.is_displayed() for panel in panels] == [n == other for n in range(3)]
    seen = [image for image in find(".frames img") if image.is_displayed()]
    assert [image.get_attribute("data-layer") for image in seen] == ["saliency", "saliency"]
    find(".layers input[value=attention]")[0].send_keys(Keys.SPACE)
    assert {image.get_attribute("data-layer") for image in find(".frames img") if image.is_displayed()} == {
        "attention"
    }
    best = find(".rows li > span:first-child")[0].text if head == "match" else words
    assert [word.text.split("\n")[0] for word in find(".words li")] == best.split()
    find(".rows button")[-1].click()
    last = find(".rows li > span:first-child")[-1].text
    wait_until(browser, lambda: last in find(".why h3")[0].text)
    assert_fits(browser, width)
    assert_everything_has_a_name(browser)
    assert browser.get_log("browser") == []
    asked = list_requests(browser)
    assert f"{address}ask/{mode}" in asked and f"{address}evidence" in asked
    assert [url for url in asked if not url.startswith((address, "data:"))] == []


@pytest.mark.parametrize("width", [360])
def test_a_video_is_uploaded_and_a_bad_one_refused(page, browser, width):
    from selenium.webdriver.common.by import By

    head, address, folder = page
    set_width(browser, width)
    browser.get(address)

    def find(identity):
        return browser.find_element(By.ID, identity)

    (folder / "notes.mp4").write_text("this is no video")
    find("file").send_keys(str(folder / "notes.mp4"))
    wait_until(browser, lambda: "'notes.mp4' cannot be read" in find("upload-error").text)
    (folder / "large.mp4").write_bytes(b"0" * 400_000)
    find("file").send_keys(str(folder / "large.mp4"))
    wait_until(browser, lambda: "larger than the 0.3 MB" in find("upload-error").text)
    browser.get_log("browser")  # a refused upload is logged there as well
    find("file").send_keys(str(write_video(folder / f"mine{width}.mp4", 40, fps=10)))
    wait_until(browser, lambda: "is there and chosen" in find("upload-status").text)
    assert find("upload-error").text == "" and find("video").get_attribute("value")
    name = "choose-options" if head == "match" else "ask-options"
    if head == "match":
        browser.find_element(By.CSS_SELECTOR, "input[name=mode][value=choose]").click()
    else:
        find("ask-question").send_keys("what color is it ?")
    find(name).send_keys("red\nblue")
    browser.find_element(By.CSS_SELECTOR, "form:not([hidden]) button").click()
    wait_until(browser, lambda: browser.find_elements(By.CSS_SELECTOR, "#result-view .answer"))
    assert "mine" in find("result-view").text and len(browser.find_elements(By.CSS_SELECTOR, ".rows li")) == 2
    assert_fits(browser, width)
    assert browser.get_log("browser") == []


def test_a_search_finds_videos_and_says_why(page, browser):
    from selenium.webdriver.common.by import By

    head, address, _ = page
    if head != "match":
        pytest.skip("a model that answers questions does not search")
    set_width(browser, 1440)
    browser.get(address)
    browser.find_element(By.CSS_SELECTOR, "input[name=mode][value=search]").click()
    browser.find_element(By.ID, "search-text").send_keys("a red circle")
    browser.find_element(By.CSS_SELECTOR, "#form-search button").click()
    wait_until(browser, lambda: len(browser.find_elements(By.CSS_SELECTOR, ".found li")) == 3)
    first = browser.find_element(By.CSS_SELECTOR, ".found li button")
    first.click()
    wait_until(browser, lambda: browser.find_elements(By.CSS_SELECTOR, ".why .timeline"))
    assert browser.find_element(By.ID, "video").get_attribute("value") == first.get_attribute("data-video")
    assert_fits(browser, 1440)
    assert browser.get_log("browser") == []
