"""The page in a real Chromium with a clip as camera: its predictions equal Python's, and it sends nothing."""

import json
import re
import shutil
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from hiu_tf.codecs.centres import overlap
from hiu_tf.geometry.window import box_of
from hiu_tf.pictures import read_picture
from hiu_tf.runtime.predictor import Predictor
from hiu_tf.runtime.results import HEADER, prediction_json
from hiu_tf.web.build import SAMPLE, build_site
from hiu_tf.web.serve import address, open_server

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
    pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed"),
]
#: A browser that fetches nothing of its own accord; 3D is drawn without a graphics card.
QUIET = [
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-unsafe-swiftshader",
]
NO_3D = ["--disable-gpu", "--disable-3d-apis"]
#: The page's own patience, milliseconds; the first picture waits for the networks to be loaded.
LONG = 120_000


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The page's address."""
    with open_server(build_site(tmp_path_factory.mktemp("page") / "site"), 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield address(server)
        server.shutdown()


@pytest.fixture(scope="module")
def playwright():
    driver = pytest.importorskip("playwright.sync_api", reason="pip install hiu-tf[browser]")
    with driver.sync_playwright() as started:
        yield started


@pytest.fixture
def visit(playwright, site):
    """Opens the page: visit(flags of the browser, script that runs before the page's, options of the context).

    In the end no request may have gone elsewhere, and nothing may have been logged as an error.
    """
    browsers, wrong = [], []

    def open_page(flags=(), before="", **options):
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*QUIET, *flags], chromium_sandbox=False)
        browsers.append(browser)
        page = browser.new_context(accept_downloads=True, **options).new_page()
        page.set_default_timeout(LONG)
        page.on("request", lambda request: request.url.startswith((site, f"blob:{site}")) or wrong.append(request.url))
        page.on("console", lambda message: message.type == "error" and wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.add_init_script(before)
        page.goto(site)
        return page

    yield open_page
    for browser in browsers:
        browser.close()
    assert wrong == []


@pytest.fixture(scope="module")
def sample():
    return read_picture(Path(build_site.__code__.co_filename).with_name("site") / SAMPLE)


def ready(page):
    page.locator("#choose:enabled").wait_for()
    return page


def look_at(page, path):
    """Gives the page a picture and waits for its answer."""
    page.set_input_files("#file", path)
    page.locator("#status", has_text=f"{path.name}:").wait_for()


def downloaded(page, button, path):
    with page.expect_download() as download:
        page.click(button)
    download.value.save_as(path)
    return download.value.suggested_filename


def save(path, picture):
    cv2.imwrite(str(path), picture[..., ::-1])
    return path


def pictures_of(sample):
    """Two hands; mirrored; on their side; small; large, so that it is shrunk in steps; one of them alone."""
    return {
        "two": sample,
        "mirrored": sample[:, ::-1],
        "turned": np.rot90(sample),
        "small": cv2.resize(sample, (180, 116), interpolation=cv2.INTER_AREA),
        "large": cv2.resize(sample, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC),
        "one": sample[:, :420],
    }


def joints_apart(hand, joints_2d):
    """Distance [21] of each 2D joint from a hand's, in pixels of a window of 256."""
    return np.linalg.norm(np.asarray(joints_2d) - hand.joints_2d, axis=1) * 256 / hand.crop.side


def moved_by_noise(predictor, picture, hands):
    """How far each joint [hands, 21] moves when the picture changes by one level of 255: a flat heat map's joint can leap."""
    moved, rng = np.zeros((len(hands), 21)), np.random.default_rng(0)
    for _ in range(6):
        noisy = np.clip(picture + rng.integers(-1, 2, picture.shape), 0, 255).astype(np.uint8)
        again = predictor.predict(noisy)
        assert len(again) == len(hands)
        for each, hand in zip(moved, hands):
            nearest = max(again, key=lambda other: overlap(other.box, hand.box))
            np.maximum(each, joints_apart(hand, nearest.joints_2d), out=each)
    return np.minimum(moved, 4)


def test_pictures_are_read_as_in_python(visit, sample, tmp_path):
    predictor, page, distances, times = Predictor(threads=1), ready(visit(NO_3D)), [], []
    for name, picture in pictures_of(sample).items():
        path = save(tmp_path / f"{name}.png", picture)
        look_at(page, path)
        assert downloaded(page, "#json", tmp_path / "found.json") == f"{name}.json"
        content = json.loads((tmp_path / "found.json").read_text())
        start = time.perf_counter()
        found, expected = content.pop("hands"), predictor.predict(path)
        times.append((int(re.search(r"(\d+) ms", page.inner_text("#status"))[1]), 1000 * (time.perf_counter() - start)))
        assert content == json.loads(json.dumps({"made_by": "hiu-tf", "picture": path.name, **HEADER}))
        assert [hand["side"] for hand in found] == [hand.side for hand in expected], name
        for one, other, moved in zip(found, expected, moved_by_noise(predictor, picture, expected)):
            assert list(one) == list(prediction_json(other))
            apart = joints_apart(other, one["joints_2d"])
            assert (apart < np.maximum(1, 1.5 * moved)).all(), (
                f"{name}: 2D joints are {apart.max():.2f} px of 256 apart"
            )
            distances += list(apart)
            assert abs(one["score"] - other.score) < 0.01
            assert np.abs(np.array(one["vertices"]) - other.vertices).max() < 0.003
    here, there = np.median(times[1:], axis=0)  # both are slower at the first
    print(f"{here:.0f} ms a picture, {there:.0f} in Python with {predictor.engine}: {here / there:.1f} times")
    print(f"{len(distances)} joints: {np.mean(distances):.3f} px of 256 apart, at most {np.max(distances):.3f}")
    assert len(distances) >= 8 * 21


def test_a_picture_without_hands(visit, tmp_path):
    page = ready(visit(NO_3D))
    look_at(page, save(tmp_path / "wall.png", np.full((300, 400, 3), (150, 160, 140), np.uint8)))
    assert "no hand found" in page.inner_text("#status") and page.inner_text("#count") == "No hands"
    assert page.locator("#glb").is_disabled()
    downloaded(page, "#json", tmp_path / "none.json")
    assert json.loads((tmp_path / "none.json").read_text())["hands"] == []


def test_a_file_that_is_no_picture_is_refused_in_words(visit, tmp_path):
    page = ready(visit(NO_3D))
    (tmp_path / "notes.png").write_text("no picture")
    page.set_input_files("#file", tmp_path / "notes.png")
    page.locator("#status", has_text="cannot be read as a picture").wait_for()


def test_by_keyboard_and_the_mesh_file(visit, tmp_path):
    """Every control in the order in which it is seen; the second hand, a left one, is chosen and its mesh saved."""
    trimesh = pytest.importorskip("trimesh")
    page = ready(visit())
    order = []
    for _ in range(3):
        page.keyboard.press("Tab")
        order.append(page.locator(":focus").get_attribute("id"))
    page.keyboard.press("Enter")
    page.locator("#status", has_text=f"{SAMPLE}:").wait_for()
    for _ in range(8):
        page.keyboard.press("Tab")
        order.append(page.locator(":focus").get_attribute("id") or page.locator(":focus").get_attribute("name"))
    assert order == [
        "choose",
        "camera",
        "sample",
        "skeleton",
        "mask",
        "processor",
        "hand",
        "mesh",
        "turn",
        "json",
        "glb",
    ]
    page.locator("#hands input").first.focus()
    page.keyboard.press("ArrowDown")
    assert page.locator("#hands label:has(:checked)").inner_text().startswith("2: left hand")
    page.locator("#mesh").focus()
    for key in ("ArrowLeft", "ArrowUp", "+", "-"):
        page.keyboard.press(key)
    page.locator("#turn").press("Enter")
    assert page.inner_text("#turn") == "Turn"
    assert page.locator("#view").get_attribute("aria-label").startswith(f"{SAMPLE}: right hand")
    assert downloaded(page, "#glb", tmp_path / "hand.glb") == "sample.glb"
    mesh = trimesh.load(tmp_path / "hand.glb", force="mesh", process=False)
    assert len(mesh.vertices) == 1500 and mesh.is_winding_consistent and mesh.volume > 1e-4
    assert 0.1 < np.ptp(mesh.vertices, axis=0).max() < 0.3  # metres


def write_clip(path, frames):
    """Raw video as Chromium's fake camera plays it, again and again."""
    height, width = frames[0].shape[:2]
    with open(path, "wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F10:1 Ip A1:1 C420jpeg\n".encode())
        for frame in frames:
            file.write(b"FRAME\n" + cv2.cvtColor(frame, cv2.COLOR_RGB2YUV_I420).tobytes())


def test_hands_are_followed_before_the_camera(visit, sample, tmp_path):
    small = cv2.resize(sample, (560, 360), interpolation=cv2.INTER_AREA)
    shifts = [(40 + 20 * np.sin(k / 10 * np.pi), 60.0) for k in range(20)]
    frames = [
        cv2.warpAffine(small, np.float32([[1, 0, x], [0, 1, y]]), (640, 480), borderMode=cv2.BORDER_REPLICATE)
        for x, y in shifts
    ]
    write_clip(tmp_path / "clip.y4m", frames)
    fake = ["--use-fake-device-for-media-stream", f"--use-file-for-fake-video-capture={tmp_path / 'clip.y4m'}"]
    page = ready(visit([*NO_3D, *fake], permissions=["camera"]))
    page.click("#camera")
    page.locator("#count", has_text="2 hands").wait_for()
    page.wait_for_timeout(3000)
    rate = float(page.inner_text("#rate").split()[0])
    assert rate > 0
    for _ in range(3):  # off, on, off: the last hands stay
        page.click("#camera")
        page.wait_for_timeout(200)
    page.locator("#status", has_text="The camera is off.").wait_for()
    assert page.locator("#rate").is_hidden()
    downloaded(page, "#json", tmp_path / "camera.json")
    hands = json.loads((tmp_path / "camera.json").read_text())["hands"]
    assert {hand["side"] for hand in hands} == {"right", "left"}
    for hand in hands:  # where one of the clip's frames shows them, in the picture as it is, not its mirror image
        x, y, *_ = box_of(np.array(hand["joints_2d"]))
        assert (x > 320) == (hand["side"] == "right") and y > 60
    print(f"{rate:.1f} frames a second")


def test_a_camera_that_is_refused_leaves_the_rest(visit, tmp_path, sample):
    page = ready(visit([*NO_3D, "--use-fake-device-for-media-stream", "--deny-permission-prompts"]))
    page.click("#camera")
    page.locator("#status", has_text="The camera was not allowed").wait_for()
    look_at(page, save(tmp_path / "two.png", sample))
    assert page.inner_text("#count") == "2 hands"


@pytest.mark.parametrize(
    ("before", "said"),
    (
        ("delete globalThis.WebAssembly", "has no WebAssembly"),
        ("WebAssembly.validate = () => false", "WebAssembly has no SIMD"),
    ),
)
def test_what_the_networks_lack_is_said(visit, before, said):
    page = visit(NO_3D, before)
    page.locator("#status", has_text=said).wait_for()
    assert page.locator("#choose").is_disabled()


def test_what_else_is_missing_is_said_and_left_out(visit, tmp_path, sample):
    """No WebGL, no camera, no graphics card: pictures are read all the same."""
    page = ready(visit(NO_3D, "Object.defineProperty(navigator, 'mediaDevices', { value: undefined })"))
    notes = page.inner_text("#notes")
    assert "no WebGL" in notes and "no access to cameras" in notes
    assert page.locator("#camera").is_disabled() and page.locator("#model").is_hidden()
    page.select_option("#processor", "gpu")
    page.locator("#status", has_text="as WebGPU cannot be used").wait_for()
    assert page.input_value("#processor") == "cpu"
    look_at(page, save(tmp_path / "two.png", sample))
    assert page.inner_text("#count") == "2 hands"


def scores_of(path):
    """What the status line must say of a picture, by Python's own prediction."""
    hands = Predictor(threads=1).predict(path)
    named = lambda hand: f" ({hand.gesture})" if hand.gesture else ""
    return "; ".join(f"{hand.side} hand{named(hand)}, score {hand.score:.2f}" for hand in hands)


def test_with_threads(visit, tmp_path, sample):
    """What browsers with more than one core load, from servers that send our headers."""
    page = visit(NO_3D, "Object.defineProperty(navigator, 'hardwareConcurrency', { value: 2 })")
    with page.expect_request("**/litert_wasm_threaded_internal.wasm"):
        page.reload()
    look_at(ready(page), save(tmp_path / "two.png", sample))
    assert scores_of(tmp_path / "two.png") in page.inner_text("#status")


def test_without_relaxed_simd(visit, site, tmp_path, sample):
    """The runtime's file for browsers that lack it, which has no threads."""
    page = visit(NO_3D, before="Object.defineProperty(navigator, 'hardwareConcurrency', {get: () => 1});")
    wasm = f"{site}vendor/@litertjs/core/wasm/litert_wasm"
    page.route(f"{wasm}_internal.js", lambda route: route.continue_(url=f"{wasm}_compat_internal.js"))
    with page.expect_request(f"{wasm}_compat_internal.wasm"):
        page.reload()
    look_at(ready(page), save(tmp_path / "two.png", sample))
    assert scores_of(tmp_path / "two.png") in page.inner_text("#status")


def test_webgpu_gives_the_same_or_gives_way(visit, tmp_path, sample):
    """On a graphics card that is computed: what it cannot do is left to WebAssembly, and the status says who does what."""
    page = ready(visit(["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"]))
    page.select_option("#processor", "gpu")
    page.locator("#status", has_text=re.compile("from now on|as WebGPU cannot be used")).wait_for(timeout=4 * LONG)
    print(page.inner_text("#status"))
    look_at(page, save(tmp_path / "two.png", sample))
    assert scores_of(tmp_path / "two.png") in page.inner_text("#status")


def test_a_phones_screen_is_wide_enough(visit, tmp_path, sample):
    page = ready(visit(NO_3D, viewport={"width": 360, "height": 740}, has_touch=True, color_scheme="dark"))
    look_at(page, save(tmp_path / "two.png", sample))
    boxes = [box for box in (part.bounding_box() for part in page.locator("body *").all()) if box]
    assert len(boxes) > 20 and max(box["x"] + box["width"] for box in boxes) <= 360
    for button in page.locator("button:visible, select:visible").all():
        assert button.bounding_box()["height"] >= 44  # a finger's width
