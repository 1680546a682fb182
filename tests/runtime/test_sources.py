"""Everything that a predictor takes, and everything that a prediction gives."""

import json
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np
import pytest
from PIL import Image

import hiu_tf
from hiu_tf.cli import main
from hiu_tf.errors import UserError
from hiu_tf.pictures import is_ours, read_picture
from hiu_tf.runtime import sources
from hiu_tf.runtime.prediction import Hands
from hiu_tf.runtime.predictor import Predictor
from hiu_tf.runtime.results import FORMATS, ply_bytes
from hiu_tf.runtime.shipped import shipped_model

BOX = (40, 30, 90, 80)


@pytest.fixture(scope="module")
def predictor():
    return Predictor(shipped_model(), threads=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three pictures of noise, one of them in a folder below, and a file that is no picture."""
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "below").mkdir()
    rng = np.random.default_rng(3)
    for name in ("a.png", "b.jpg", "below/c.png"):
        Image.fromarray(rng.integers(0, 255, (120, 160, 3), np.uint8)).save(folder / name)
    (folder / "notes.txt").write_text("none")
    (folder / "album.jpg").mkdir()
    return folder


@pytest.fixture
def address(folder):
    """The address of a server of the folder on this machine."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_one_picture_in_every_form_gives_the_same(predictor, folder, address):
    path = folder / "a.png"
    array = read_picture(path)
    expected = predictor(array, box=BOX, side="right")
    assert isinstance(expected, Hands) and expected.name == ""
    for source in (
        path,
        str(path),
        path.read_bytes(),
        bytearray(path.read_bytes()),
        Image.open(path),
        f"{address}/a.png",
        f"{address}/a.png?size=large#top",
    ):
        found = predictor(source, box=BOX, side="right")
        np.testing.assert_array_equal(found[0].joints_2d, expected[0].joints_2d)
        np.testing.assert_array_equal(found.picture, array)
    assert predictor(path, box=BOX).name == str(path)


def test_a_pil_image_is_turned_upright_and_made_rgb(predictor):
    grey = np.random.default_rng(0).integers(0, 255, (60, 90), np.uint8)
    image = Image.fromarray(grey)
    image.getexif()[0x0112] = 6  # the camera was turned: rows are columns
    np.testing.assert_array_equal(predictor(image, box=BOX).picture, np.rot90(np.stack([grey] * 3, -1), -1))


def test_folders_lists_generators_and_stacks_give_each_picture(predictor, folder):
    names = [str(folder / name) for name in ("a.png", "b.jpg", "below/c.png")]
    assert [hands.name for hands in predictor(folder, box=BOX)] == names
    pictures = [read_picture(name) for name in names]
    for source in (pictures, (picture for picture in pictures), np.stack(pictures)):
        found = list(predictor(source, box=BOX))
        assert [len(hands) for hands in found] == [1, 1, 1]
        np.testing.assert_array_equal(found[2].picture, pictures[2])


def test_a_clip_gives_frames_with_numbered_hands(predictor, tmp_path):
    path = tmp_path / "clip.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 5, (160, 120))
    for _ in range(4):
        writer.write(np.full((120, 160, 3), 90, np.uint8))
    writer.release()
    found = list(predictor(path, box=BOX, min_score=0.0))
    assert [hands.name for hands in found] == ["0", "1", "2", "3"]
    assert found[0][0].number == 1 and found[0].picture.shape == (120, 160, 3)
    (tmp_path / "none.mp4").write_bytes(b"")
    with pytest.raises(UserError, match="cannot be read as a clip"):
        list(predictor(tmp_path / "none.mp4"))


def test_the_command_fetches_a_picture(address, tmp_path, capsys):
    given = ["--box", ",".join(map(str, BOX)), "--out", str(tmp_path / "out")]
    assert main(["predict", f"{address}/a.png?size=large", "--format", "json", *given]) == 0
    (path,) = (tmp_path / "out").iterdir()
    assert path.name.startswith("127_0_0_1_") and path.name.endswith("_a_png_size_large.json")
    assert main(["predict", f"{address}/none.png", "--max-megapixels", "1", *given]) == 1
    assert "none.png cannot be fetched: HTTP Error 404" in capsys.readouterr().err
    assert main(["predict", f"{address}/a.png", "--max-megapixels", "0.001", *given]) == 1
    assert "raise the limit (--max-megapixels)" in capsys.readouterr().err


def test_bad_sources_are_named(predictor, tmp_path, address, monkeypatch):
    for source, words in ((7, "got int"), (None, "got NoneType"), (tmp_path, "contains no pictures"), ({}, "got dict"), ({1}, "got set"), (b"x", "cannot be read as a picture"), (np.zeros((4, 4), np.uint8), "shape"), (f"{address}/x.png", "x.png cannot be fetched: HTTP Error 404")):  # fmt: skip
        with pytest.raises(UserError, match=words):
            predictor(source)
    with pytest.raises(UserError, match="shape"):
        predictor(np.zeros((4, 4, 1), np.uint8))
    with pytest.raises(FileNotFoundError):
        predictor(tmp_path / "none.jpg")
    with pytest.raises(OSError, match="directory"):
        predictor("")
    with pytest.raises(UserError, match="most takes a whole number above 0, got -1"):
        predictor(np.zeros((40, 40, 3), np.uint8), most=-1)
    monkeypatch.setattr(sources, "_MOST_BYTES", 1000)
    with pytest.raises(UserError, match="larger than allowed"):
        predictor(f"{address}/a.png")


def test_files_of_all_formats(predictor, folder, tmp_path):
    hands = predictor(folder / "a.png", box=BOX, side="left")
    hand = hands[0]
    for suffix in FORMATS:
        assert hand.save(tmp_path / f"one{suffix}").stat().st_size > 1000
        hands.save(str(tmp_path / f"all{suffix}"))
    content = json.loads((tmp_path / "all.json").read_text())
    assert content["picture"] == str(folder / "a.png") and content["hands"] == [hand.to_dict()]
    assert json.loads(hands.to_json()) == content and json.loads(hand.to_json())["side"] == "left"
    for name in ("one.png", "one.jpg"):
        assert is_ours(tmp_path / name)
        assert Image.fromarray(read_picture(tmp_path / name)).size == (4 * 160, 120)
    np.testing.assert_array_equal(read_picture(tmp_path / "one.png"), hand.plot())
    with pytest.raises(UserError, match="suffix must be one of"):
        hand.save(tmp_path / "one.gif")


def test_meshes_are_closed_and_face_outward_for_both_sides(predictor, folder, tmp_path):
    """The signed volume of a mesh is positive if its triangles are counter-clockwise seen from outside."""
    trimesh = pytest.importorskip("trimesh")
    for side in ("left", "right"):
        hand = predictor(folder / "a.png", box=BOX, side=side)[0]
        for suffix in (".obj", ".ply"):
            mesh = trimesh.load(hand.save(tmp_path / f"{side}{suffix}"), process=False)
            assert mesh.volume > 1e-5
            np.testing.assert_allclose(mesh.vertices, hand.vertices * [1, -1, -1], atol=1e-6)


def test_a_hand_s_colours_are_in_its_ply(tmp_path):
    trimesh = pytest.importorskip("trimesh")
    colors = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 0.5], [1, 1, 1]])
    (tmp_path / "x.ply").write_bytes(ply_bytes(np.eye(4, 3), np.array([[0, 1, 2], [0, 2, 3]]), colors))
    mesh = trimesh.load(tmp_path / "x.ply", process=False)
    np.testing.assert_array_equal(mesh.visual.vertex_colors[:, :3], np.round(255 * colors))
    assert len(mesh.faces) == 2


def test_a_notebook_shows_a_picture_and_text_is_short(predictor, folder):
    hands = predictor(folder / "a.png", box=BOX, side="right")
    for shown in (hands, hands[0]):
        assert shown._repr_png_().startswith(b"\x89PNG")
    assert repr(hands[0]).startswith("<right hand") and len(repr(hands)) < 100
    assert hands.plot(longest=80).shape == (60, 4 * 80, 3)
    assert Hands([], hands.picture).plot().shape == (120, 4 * 160, 3)


def test_the_door_takes_the_same(folder):
    assert [hands.name for hands in hiu_tf.predict(folder / "below", box=BOX)] == [str(folder / "below" / "c.png")]
    assert hiu_tf.Hands is Hands
