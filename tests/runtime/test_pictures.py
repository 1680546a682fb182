"""Picture files that are huge, truncated, rotated, of other bit depths, our own, or have names that are not text."""

import io
import os
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageFile

from hiu_tf.cli import main
from hiu_tf.errors import UserError
from hiu_tf.pictures import decode_picture, encode_png, is_ours, read_picture, upright_size


@pytest.fixture
def picture(rng):
    return cv2.resize(rng.integers(0, 255, (20, 30, 3), dtype=np.uint8), (180, 120))


@pytest.fixture(scope="module")
def model(tiny_model):
    return tiny_model / "tiny.tflite"


def encoded(picture, kind, **options):
    content = io.BytesIO()
    Image.fromarray(picture).save(content, kind, **options)
    return content.getvalue()


def predict(model, *arguments):
    return main(["predict", *map(str, arguments), "--model", str(model), "--box", "40,20,80,80", "--side", "right"])


@pytest.mark.parametrize("kind", ["PNG", "BMP", "WEBP"])
def test_lossless_files_keep_every_pixel(picture, kind):
    np.testing.assert_array_equal(decode_picture(encoded(picture, kind, lossless=True)), picture)


def test_jpeg_equals_opencv(picture):
    content = encoded(picture, "JPEG", quality=95)
    other = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    np.testing.assert_allclose(decode_picture(content).astype(int), other, atol=2)


def test_exif_rotation_16_bits_grey_and_palette(picture):
    exif = Image.Exif()
    exif[0x0112] = 6
    np.testing.assert_array_equal(decode_picture(encoded(picture, "PNG", exif=exif)), np.rot90(picture, -1))
    deep = cv2.imencode(".png", picture[..., 0].astype(np.uint16) * 257)[1].tobytes()
    np.testing.assert_array_equal(decode_picture(deep), np.repeat(picture[..., :1], 3, axis=2))
    for mode in ("L", "P", "RGBA", "CMYK"):
        content = io.BytesIO()
        Image.fromarray(picture).convert(mode).save(content, "JPEG" if mode == "CMYK" else "PNG")
        assert decode_picture(content.getvalue()).shape == picture.shape


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_is_black(picture, mode):
    """Whatever colours lie beneath; half transparent is half as bright."""
    alpha = np.repeat(np.uint8([255, 128, 0]), 60)[np.newaxis].repeat(120, axis=0)
    whole = Image.fromarray(np.dstack([picture, alpha]))
    content = io.BytesIO()
    (whole.quantize(256) if mode == "P" else whole.convert(mode)).save(content, "PNG")
    found = decode_picture(content.getvalue()).astype(int)
    expected = whole.convert("LA").convert("RGBA") if mode == "LA" else whole
    expected = np.array(expected)[..., :3] * (alpha[..., np.newaxis] / 255.0)
    assert found[:, 121:].max() == 0
    np.testing.assert_allclose(found, expected, atol=2 if mode != "P" else 130)


def test_an_orientation_that_there_is_not_turns_nothing(picture, tmp_path):
    for number, turned in ((1, False), (6, True), (9, False)):
        exif = Image.Exif()
        exif[0x0112] = number
        (tmp_path / "a.jpg").write_bytes(encoded(picture, "JPEG", exif=exif))
        assert upright_size(tmp_path / "a.jpg") == read_picture(tmp_path / "a.jpg").shape[1::-1]
        assert (upright_size(tmp_path / "a.jpg") == (120, 180)) == turned


def test_the_switches_of_pillow_stay_the_callers(picture, monkeypatch):
    """Its limit of pixels protects the program that imports us."""
    for limit, truncated in ((89_478_485, False), (1000, True)):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", truncated)
        decode_picture(encoded(picture, "JPEG"))  # 21,600 pixels
        with pytest.raises(UserError):
            decode_picture(b"none")
        assert (limit, truncated) == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)


@pytest.mark.parametrize("size", [(50_000, 50_000), (40_000, 2)])
def test_too_large_is_refused_before_it_is_decoded(size):
    """The file consists of a header without pixels."""

    def chunk(name, content):
        return len(content).to_bytes(4, "big") + name + content + zlib.crc32(name + content).to_bytes(4, "big")

    header = chunk(b"IHDR", b"".join(n.to_bytes(4, "big") for n in size) + b"\x08\x02\0\0\0")
    header = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    with pytest.raises(UserError, match=f"has {size[0]}x{size[1]} pixels"):
        decode_picture(header)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.99])
def test_cut_off_files_are_told(picture, kind, share):
    content = encoded(picture, kind, **({"quality": 95} if kind == "JPEG" else {}))
    content = content[: int(share * len(content))]
    with pytest.raises(UserError, match="cut off|damaged"):
        decode_picture(content)
    rest = decode_picture(content, allow_truncated=True)
    assert rest.shape == picture.shape
    assert np.median(np.abs(rest[:16].astype(int) - picture[:16])) < 10


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"exif": b"Exif\0\0" + b"\xff\xda\xff\xd9" * 9}])
def test_what_a_phone_appends_to_a_picture_does_not_count(picture, options, rng):
    """A motion photo: a clip follows, whose bytes may look like any marker."""
    content = encoded(picture, "JPEG", quality=90, **options)
    clip = rng.integers(0, 256, 200_000, dtype=np.uint8).tobytes() + b"\xff\xda" + b"\0" * 9
    np.testing.assert_array_equal(decode_picture(content + clip), decode_picture(content))


def test_names_that_are_not_utf8(model, picture, tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    name = os.path.join(os.fsencode(folder), b"hand\xff\xfe.png")
    with open(name, "wb") as file:
        file.write(encoded(picture, "PNG"))
    (folder / "other.png").write_bytes(encoded(picture, "PNG"))
    assert predict(model, folder, "--out", tmp_path / "out") == 0
    assert len(list((tmp_path / "out").glob("*.json"))) == 2
    assert "other.png" in capsys.readouterr().out


def test_clips_whose_names_are_not_utf8(model, picture, tmp_path):
    writer = cv2.VideoWriter(str(tmp_path / "a.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 5, (180, 120))
    writer.write(picture)
    writer.release()
    strange = os.fsdecode(os.path.join(os.fsencode(tmp_path), b"clip\xff.mp4"))
    os.rename(tmp_path / "a.mp4", strange)
    assert predict(model, strange, "--out", tmp_path / "out") == 0
    assert len(next((tmp_path / "out").glob("*.jsonl")).read_text().splitlines()) == 2  # what is the same, one frame


def test_one_bad_picture_costs_no_other(model, picture, tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.png", "z.png"):
        (folder / name).write_bytes(encoded(picture, "PNG"))
    (folder / "b.jpg").write_bytes(b"Pf\n3 3\n-1.0\n" + bytes(36))  # a PFM, which OpenCV would read as floats
    (folder / "c.png").write_bytes(encoded(np.zeros((2, 20_000, 3), np.uint8), "PNG"))
    (folder / "d.png").write_bytes(b"")
    assert predict(model, folder, "--out", tmp_path / "out") == 1
    assert {p.stem for p in (tmp_path / "out").glob("*.json")} >= {"a", "z"}
    errors = capsys.readouterr().err
    assert "of 5 files failed" in errors and "b.jpg" in errors and "d.png" in errors and "Traceback" not in errors


def test_overlays_of_ours_are_never_inputs(model, picture, tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.png").write_bytes(encoded(picture, "PNG"))
    writer = cv2.VideoWriter(str(folder / "clip.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 5, (180, 120))
    writer.write(picture)
    writer.release()
    for out in (folder / "first", folder / "second", folder / "first"):
        assert predict(model, folder, "--out", out) == 0
        assert "2 file(s)" in capsys.readouterr().out
    assert is_ours(folder / "first" / "a.png") and not is_ours(folder / "a.png")
    assert predict(model, folder, "--out", folder) == 1


def test_the_mark_changes_no_pixel(picture, tmp_path):
    (tmp_path / "a.png").write_bytes(encode_png(picture))
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png"), picture)


def test_leftovers_of_a_killed_program_go(model, picture, tmp_path):
    import platform
    import subprocess

    gone = subprocess.Popen(["true"])
    gone.wait()
    out = tmp_path / "out"
    out.mkdir()
    left = out / f"partial-{platform.node()}-{gone.pid}-clip.mp4"
    left.write_bytes(b"half")
    kept = out / f"partial-{platform.node()}-{os.getppid()}-clip.mp4"
    kept.write_bytes(b"at work")
    (tmp_path / "a.png").write_bytes(encoded(picture, "PNG"))
    assert predict(model, tmp_path / "a.png", "--out", out) == 0
    assert not left.exists() and kept.exists()


def test_more_threads_than_cores_are_not_taken(model, picture, tmp_path, capsys):
    (tmp_path / "a.png").write_bytes(encoded(picture, "PNG"))
    assert predict(model, tmp_path / "a.png", "--out", tmp_path / "out", "--threads", "1000") == 0
    assert "are taken" in capsys.readouterr().err
    for wrong in ("0", "-1", "x"):
        with pytest.raises(SystemExit):
            predict(model, tmp_path / "a.png", "--out", tmp_path / "out", "--threads", wrong)


@pytest.mark.parametrize("K", ["1e308,500,320,240", "500,500,1e300,240", "nan,1,1,1", "0,1,1,1"])
def test_impossible_cameras(model, picture, tmp_path, K, capsys):
    (tmp_path / "a.png").write_bytes(encoded(picture, "PNG"))
    assert predict(model, tmp_path / "a.png", "--out", tmp_path / "out", f"--K={K}") == 1
    assert "--K takes" in capsys.readouterr().err
