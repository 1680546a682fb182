"""The demo's contact sheet: a column for each model, a row for each picture, the user's pictures last."""

import cv2
import numpy as np
import pytest

from hiu_tf.errors import UserError
from hiu_tf.programs.demo import _HEADING, _TILE, contact_sheet, real_sets


def test_photographs_are_one_set_or_several(tmp_path):
    with pytest.raises(UserError, match="there is no train.json, nor one in a folder below"):
        real_sets(tmp_path)
    for name in ("mine", "hers"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "train.json").write_text("{}")
    assert real_sets(tmp_path) == {name: tmp_path / name for name in ("mine", "hers")}
    assert real_sets(tmp_path / "mine") == {"mine": tmp_path / "mine"}


def test_a_row_for_each_picture_and_a_column_for_each_model(tmp_path):
    colors = {"rendered_00.png": 50, "aunt.png": 100, "uncle.png": 150}
    folders = {"first": tmp_path / "a", "second": tmp_path / "b"}
    for folder in folders.values():
        folder.mkdir()
        for name, grey in colors.items():
            if (folder.name, name) != ("b", "uncle.png"):  # no hand was detected there
                cv2.imwrite(str(folder / name), np.full((100, 400, 3), grey, np.uint8))
    contact_sheet(folders, tmp_path / "sheet.png")
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    half = sheet.shape[1] // 2
    rows = [_HEADING + _TILE * k + _TILE // 2 for k in range(3)]
    assert len(sheet) == _HEADING + 3 * _TILE + 2
    assert [sheet[y, half - 20].tolist() for y in rows] == [[50] * 3, [100] * 3, [150] * 3]
    assert [sheet[y, -20].tolist() for y in rows] == [[50] * 3, [100] * 3, [60] * 3]
