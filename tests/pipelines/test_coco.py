"""The streaming reader of COCO files against json.loads, with parts of the text as small as a few bytes."""

import json
import tracemalloc

import pytest

from pipelines import coco
from pipelines.coco import CocoFile
from pipelines.datasets import DataSetError

CONTENT = {
    "info": {"numbers": [1, -2.5e-3, True, None], "text": 'a "quoted" \\ line\n, ] } über 手 🖐'},
    "version": 12,
    "images": [{"id": n, "file_name": f"手{n}.jpg", "width": 640} for n in (3, 1, 2)],
    "categories": [],
    "annotations": [
        {"id": 7, "image_id": 3, "keypoints": [0.1, 2, 3]},
        {"id": "hände", "image_id": 1, "nested": {"a": [{"b": "]}"}]}},
        {"id": 9, "image_id": 3},
        {"id": 10, "image_id": [5]},
    ],
}


def opened(tmp_path, text, chunk=None, monkeypatch=None):
    path = tmp_path / "train.json"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    if chunk:
        monkeypatch.setattr(coco, "_CHUNK", chunk)
    return CocoFile(path, "own_data")


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 50, 1000])
@pytest.mark.parametrize("options", [{}, {"indent": 2}, {"ensure_ascii": False}, {"separators": (",", ":")}])
def test_it_reads_what_json_does(tmp_path, monkeypatch, chunk, options):
    found = opened(tmp_path, json.dumps(CONTENT, **options) + "\n", chunk, monkeypatch)
    assert found.keys == [7, "hände", 9, 10]
    assert [found.annotation(key) for key in found.keys] == CONTENT["annotations"]
    assert [found.image(n) for n in (3, 1, 2)] == CONTENT["images"]
    assert found.image(4) is found.image(None) is found.image([5]) is None
    assert [found.is_alone(n) for n in (3, 1, 2, 4, [5])] == [False, True, False, False, False]


@pytest.mark.parametrize("number", ["0.5", "-12.25e-3", "1E+5", "1e5", "120"])
def test_a_number_may_end_in_the_next_part_of_the_text(tmp_path, monkeypatch, number):
    text = (
        f'{{"scale": {number}, "images": [{{"id": 1}}], "annotations": [{{"id": 2, "image_id": 1, "area": {number}}}]}}'
    )
    for chunk in range(1, 60):
        assert opened(tmp_path, text, chunk, monkeypatch).annotation(2)["area"] == float(number)


def test_its_fingerprint_is_that_of_the_bytes(tmp_path):
    text = json.dumps(CONTENT)
    assert opened(tmp_path, text).fingerprint == opened(tmp_path, text).fingerprint
    assert opened(tmp_path, text).fingerprint != opened(tmp_path, text + " ").fingerprint


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "is no JSON object: expected '{', found 'the end'"),
        ("[]", r"is no JSON object: expected '{', found '\['"),
        ("{}", "is no COCO key point file: KeyError\\('images'\\)"),
        ('{"images": []}', "KeyError\\('annotations'\\)"),
        ('{"images": [], "annotations": 5}', "KeyError\\('annotations'\\)"),
        ('{"images": [], "annotations": []}', "has no annotations"),
        ('{"images": [{"id": 1}, {"id": 1}], "annotations": [{"id": 1}]}', "1 images or annotations repeat the id"),
        ('{"images": [{}], "annotations": [{"id": 1}]}', "is no COCO key point file: KeyError\\('id'\\)"),
        ('{"images": [7], "annotations": [{"id": 1}]}', "is no COCO key point file: TypeError"),
        ('{"images": [{"id": [1]}], "annotations": [{"id": 1}]}', "is no COCO key point file: TypeError"),
        ('{"images": [], "images": [], "annotations": [{"id": 1}]}', "the key 'images' stands twice"),
        ('{"images": [] "annotations": [{"id": 1}]}', "expected ',', found '\"' \\(byte 14\\)"),
        ('{"images": [], "annotations": [{"id": 1}', "is no JSON object"),
        ('{"images": [], "annotations": [{"id": 1}]} x', "text behind the end"),
        ('{"images": [], "annotations": [{"id": ' + "[" * 100_000, "is no JSON object"),
        (b'{"images": [], "annotations": [{"id": "\xff"}]}', "is no JSON object"),
    ],
)
def test_a_broken_file_is_named_with_its_fault(tmp_path, text, message):
    with pytest.raises(DataSetError, match=f"own_data: .*train.json.*{message}"):
        opened(tmp_path, text)


@pytest.mark.long
def test_a_large_file_is_not_kept_in_memory(tmp_path, monkeypatch):
    """Forty megabytes of labels take less than four."""
    points = list(range(1000))
    annotations = [{"id": n, "image_id": n, "keypoints": points} for n in range(8200)]
    text = json.dumps({"images": [{"id": n} for n in range(8200)], "annotations": annotations})
    assert len(text) > 4e7
    path = tmp_path / "train.json"
    path.write_text(text)
    del text, annotations
    monkeypatch.setattr(coco, "_CHUNK", 1 << 16)
    tracemalloc.start()
    found = CocoFile(path, "own_data")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found.keys) == 8200 and found.annotation(4321)["keypoints"] == points
    assert most < 4e6
