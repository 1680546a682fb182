"""Building and serving the page, and rules for its sources. Needs no browser and no network."""

import base64
import hashlib
import json
import re
import shutil
import threading
import urllib.error
import urllib.request
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from hiu_tf.cli import main
from hiu_tf.codecs import centres
from hiu_tf.errors import UserError
from hiu_tf.fit import evidence, solve
from hiu_tf.geometry import camera, window
from hiu_tf.runtime import crop, detector, draw, evidence_fit, gestures, looks, predictor, tracker
from hiu_tf.web import build, packages, serve

SITE = Path(build.__file__).with_name("site")
SOURCES = sorted(path for path in SITE.rglob("*") if path.suffix in (".js", ".html", ".css", ".svg"))
#: JavaScript module -> its constants, with their Python sources.
CONSTANTS = {
    "centres.js": {
        "STRIDE": centres.STRIDE,
        "CHANNELS": centres.CHANNELS,
        "PRIOR_LOGIT": centres.PRIOR_LOGIT,
        "SAME_HAND": centres.SAME_HAND,
    },
    "crop.js": {"SHRINK_AT": crop._SHRINK_AT, "MOST_SHRINK": crop._MOST_SHRINK, "FINE_UP_TO": crop._FINE_UP_TO},
    "detector.js": {"INSIDE": detector._INSIDE},
    "draw.js": {"FINGER_COLORS": draw.FINGER_COLORS.tolist(), "MASK_COLOR": draw._MASK_COLOR.tolist()},
    "gestures.js": {
        "STRAIGHT": gestures.STRAIGHT,
        "BENT": gestures.BENT,
        "THUMB_OUT": gestures.THUMB_OUT,
        "MEET": gestures.MEET,
        "NOT_A_FIST": gestures.NOT_A_FIST,
    },
    "predictor.js": {
        "MOST_HANDS": looks.MOST_HANDS,
        "TURNED_DEG": pytest.approx(57.29577951308232 * predictor._TURNED),
        "MOVED": predictor._MOVED,
        "RESIZED": predictor._RESIZED,
        "FOUND": looks.FOUND,
        "CONVINCED": looks.CONVINCED,
        "SURE": looks.SURE,
        "ODDS": looks.ODDS,
        "WORTH_A_LOOK": predictor._WORTH_A_LOOK,
        "SAME_HAND": looks.SAME_HAND,
    },
    "tracker.js": {
        "LOOK_EVERY": tracker._LOOK_EVERY,
        "JOINTS": tracker._JOINTS,
        "MOST_GROWTH": tracker._MOST_GROWTH,
        "KNOWN": tracker._KNOWN,
        "PROBATION": tracker._PROBATION,
        "PATIENCE": tracker._PATIENCE,
        "WRONG_SIDE": tracker._WRONG_SIDE,
        "MOST_ODDS": tracker._MOST_ODDS,
        "MOST_OF_FRAME": tracker._MOST_OF_FRAME,
    },
    "window.js": {"MIN_SIDE": window.MIN_SIDE},
    "fit/chain.js": {"SHAPE": 0, "POSE": 10, "ROTATION": 55, "TRANSLATION": 58, "PARAMETERS": 61},
    "fit/evidence.js": {
        "JOINTS_2D": evidence_fit.DEVIATIONS.joints_2d,
        "DIRECTIONS": evidence_fit.DEVIATIONS.directions,
        "NATURAL": evidence_fit.DEVIATIONS.pose,
        "LIMITS": evidence_fit.DEVIATIONS.limits,
        "BETA": evidence.Deviations.shape,
        "MIN_DEPTH": camera.MIN_DEPTH,
    },
    "fit/fit.js": {
        "STEPS": evidence_fit.STEPS,
        "FEWEST": evidence_fit.FEWEST,
        "READABLE": evidence_fit.READABLE,
    },
    "fit/solve.js": {
        "OUTLIER": solve.OUTLIER,
        "DAMPING": solve.DAMPING,
        "EASE": solve.EASE,
        "STIFFEN": solve.STIFFEN,
    },
}


@pytest.mark.parametrize("name", sorted(str(path.relative_to(SITE / "js")) for path in (SITE / "js").rglob("*.js")))
def test_numbers_are_those_of_the_runtime(name):
    """All constants that modules export equal their Python originals."""
    numbers = re.findall(r"^export const ([A-Z0-9_]+) = ([-\d.e\[\], ]+);$", (SITE / "js" / name).read_text(), re.M)
    assert {key: json.loads(value) for key, value in numbers} == CONSTANTS.get(name, {})


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(SITE)))
def test_sources_name_no_other_place(path):
    """No CDN, no fonts from elsewhere, no counting of visitors."""
    addresses = re.findall(r"(?:https?:|wss?:)?//[\w.-]+\.[a-z]{2,}[^\s\"'<>)]*", path.read_text())
    assert set(addresses) <= {"http://www.w3.org/2000/svg"}


def test_the_lock_file_names_exact_versions_and_no_host():
    folder = Path(packages.__file__).parent
    wanted = json.loads((folder / "package.json").read_text())["dependencies"]
    locked = json.loads((folder / packages.LOCK).read_text())["packages"]
    assert set(wanted) == set(packages.FILES)
    for name, version in wanted.items():
        assert re.fullmatch(r"\d+\.\d+\.\d+", version)
        assert locked[f"node_modules/{name}"]["version"] == version
        assert locked[f"node_modules/{name}"]["integrity"].startswith("sha512-")
    assert "http" not in (folder / packages.LOCK).read_text()


def test_the_policy_allows_the_import_map():
    text = (SITE / "index.html").read_text()
    content = re.search(r'<script type="importmap">(.*?)</script>', text, re.S)[1]
    digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in text
    assert "connect-src 'self'" in text and "default-src 'none'" in text
    for address in json.loads(content)["imports"].values():
        name = address.removeprefix("./vendor/")
        assert any(name.startswith(f"{package}/") for package in packages.FILES)


def test_cards_are_plain_json():
    text = build.card_json({"name": "x", "metrics": {"recall": float("nan"), "precision": 0.5}})
    assert json.loads(text, parse_constant=pytest.fail) == {"name": "x", "metrics": {"recall": None, "precision": 0.5}}


@pytest.fixture
def fake_packages(tmp_path, monkeypatch):
    """The packages' files, empty but for their licences, as if npm had fetched them."""
    folder = tmp_path / "node_modules"
    for name, patterns in packages.FILES.items():
        for pattern in patterns:
            path = folder / name / pattern.replace("*", "some")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("MIT, in words" if path.name == "LICENSE" else "")
        licence = "MIT" if "LICENSE" in patterns else "Apache-2.0"
        (folder / name / "package.json").write_text(json.dumps({"version": "1.2.3", "license": licence}))
    monkeypatch.setattr(packages, "fetched_packages", lambda: folder)
    return folder


def test_a_page_is_whole_and_replaces_its_older_self(fake_packages, tmp_path, capsys):
    out = tmp_path / "site"
    assert main(["page", "--out", str(out)]) == 0
    assert "hiu page --out" in capsys.readouterr().out
    (out / "left over.txt").write_text("of an older page")
    build.build_site(out)
    assert not (out / "left over.txt").exists()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("partial-")] == []
    content = json.loads((out / "site.json").read_text())
    for model in content["models"].values():
        card = json.loads((out / model["card"]).read_text(), parse_constant=pytest.fail)
        assert (out / model["file"]).is_file() and card["image_size"] > 0
    text = (out / "licences.txt").read_text()
    assert "Apache License" in text and "MIT, in words" in text and "three 1.2.3, MIT" in text
    assert (out / content["sample"]).is_file() and (out / content["hand"]["arrays"]).stat().st_size > 1e6


def test_other_peoples_folders_stay(fake_packages, tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    (tmp_path / "file").write_text("")
    for name in ("mine", "file"):
        assert main(["page", "--out", str(tmp_path / name)]) == 1
        assert "is not a page of ours" in capsys.readouterr().err
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


def test_a_licence_without_its_text_ends_the_build(fake_packages, tmp_path):
    (fake_packages / "three" / "LICENSE").unlink()
    with pytest.raises(UserError, match="three is under MIT, and its package holds no LICENSE"):
        build.build_site(tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_without_npm_the_command_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HIU_TF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert main(["page", "--out", str(tmp_path / "site")]) == 1
    assert "install Node.js" in capsys.readouterr().err
    assert not (tmp_path / "site").exists()


def test_what_npm_says_is_passed_on(tmp_path, monkeypatch):
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho 'npm error network is unreachable' >&2\nexit 1\n")
    npm.chmod(0o755)
    monkeypatch.setenv("HIU_TF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(shutil, "which", lambda name: str(npm))
    with pytest.raises(UserError, match="network is unreachable"):
        packages.fetched_packages()
    assert list((tmp_path / "cache").iterdir()) == []


def test_the_server_names_types_and_stays_in_its_folder(tmp_path):
    (tmp_path / "site").mkdir()
    for name in ("a.js", "a.wasm", "a.json", "a.tflite"):
        (tmp_path / "site" / name).write_text("{}")
    (tmp_path / "secret").write_text("no")
    with serve.open_server(tmp_path / "site", 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = serve.address(server)
        for name, kind in (("a.js", "text/javascript"), ("a.wasm", "application/wasm"), ("a.json", "application/json")):
            with urllib.request.urlopen(address + name) as answer:
                assert answer.headers["Content-Type"].startswith(kind)
                assert answer.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
        with pytest.raises(urllib.error.HTTPError, match="404") as error:
            urllib.request.urlopen(address + "../secret")
        error.value.close()
        with pytest.raises(UserError, match="give another, --serve PORT"):
            serve.open_server(tmp_path, server.server_address[1])
        server.shutdown()


def test_the_command_serves_until_ctrl_c(fake_packages, tmp_path, monkeypatch, capsys):
    def interrupted(server):
        raise KeyboardInterrupt

    monkeypatch.setattr(ThreadingHTTPServer, "serve_forever", interrupted)
    assert main(["page", "--out", str(tmp_path / "site"), "--serve", "0"]) == 0
    assert re.search(r"http://localhost:\d+/ \(Ctrl-C ends\)", capsys.readouterr().out)


@pytest.mark.parametrize("port", ("-1", "65536", "http"))
def test_a_wrong_port_is_refused(port, capsys):
    with pytest.raises(SystemExit) as error:
        main(["page", "--serve", port])
    assert error.value.code == 2 and "port" in capsys.readouterr().err
