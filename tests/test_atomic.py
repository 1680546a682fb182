"""Files are either complete or absent."""

import pytest

from hiu_tf.atomic import written_whole


def test_replaces_an_old_file_only_at_the_end(tmp_path):
    target = tmp_path / "card.json"
    target.write_text("old")
    with written_whole(target) as scratch:
        scratch.write_text("new")
        assert target.read_text() == "old" and scratch.suffix == ".json"
    assert target.read_text() == "new" and list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("kind", ("file", "folder"))
def test_leaves_nothing_of_a_failed_write(tmp_path, kind):
    with pytest.raises(KeyError), written_whole(tmp_path / "model") as scratch:
        if kind == "folder":
            scratch.mkdir()
            (scratch / "part").write_text("half")
        else:
            scratch.write_text("half")
        raise KeyError("interrupted")
    assert not list(tmp_path.iterdir())
