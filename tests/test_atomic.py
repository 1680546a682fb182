"""Files are either complete or absent."""

import os
import re

import pytest

from hiu_tf import atomic
from hiu_tf.atomic import clear_leftovers, locked, scratch_folder, written_whole
from hiu_tf.errors import UserError


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


def test_where_nothing_can_be_written_no_inner_name_is_told(tmp_path):
    with pytest.raises(UserError, match="the folder .*none does not exist"), written_whole(tmp_path / "none" / "a.txt"):
        pass
    with pytest.raises(UserError, match=f"^{re.escape(str(tmp_path))} is a folder"), written_whole(tmp_path) as scratch:
        scratch.write_text("x")


def test_what_a_killed_process_with_our_number_left_is_in_nobodys_way(tmp_path):
    """A container that is started again has the same host name, and its program the same process number."""
    own = f"{atomic._HOST}-{os.getpid()}"
    for name in ("folder", "model"):
        (tmp_path / f"partial-{own}-{name}").mkdir()
        (tmp_path / f"partial-{own}-{name}" / "part").write_text("half")
    (tmp_path / f"partial-{own}-card.json").write_text("half")
    (tmp_path / atomic._LOCK).write_text(own.replace("-", " "))
    with scratch_folder(tmp_path) as scratch:
        assert not list(scratch.iterdir())
    with written_whole(tmp_path / "model") as scratch:
        assert not scratch.exists()
        scratch.mkdir()
    with locked(tmp_path, "hiu train"):
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted([atomic._LOCK, "model"])


def test_what_this_process_is_writing_is_kept(tmp_path):
    with written_whole(tmp_path / "card.json") as scratch, locked(tmp_path, "hiu train"):
        scratch.write_text("new")
        assert clear_leftovers(tmp_path) == [] and scratch.exists()
        with pytest.raises(UserError, match="is being written by another hiu train"), locked(tmp_path, "hiu train"):
            pass
    assert (tmp_path / "card.json").read_text() == "new"
