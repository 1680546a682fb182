"""Operations in C++ that cannot be built are replaced, with a warning that says why."""

import logging
import os
import tempfile
from pathlib import Path

import pytest

from hiu_tf.cache import cache_folder
from hiu_tf.compiled import load_operations


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HIU_TF_CACHE", str(tmp_path / "cache"))
    (tmp_path / "broken.cc").write_text("this is no C++\n")
    return tmp_path


def test_without_a_compiler_there_is_a_warning(cache, monkeypatch, caplog):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(cache))
    with caplog.at_level(logging.WARNING):
        assert load_operations("broken", "the test", [cache / "broken.cc"]) is None
    assert "no C++ compiler found: slower TensorFlow operations replace the test" in caplog.text


@pytest.mark.parametrize("compiler", ["g++", "no-such-compiler"])
def test_what_does_not_compile_is_replaced(cache, monkeypatch, caplog, compiler):
    monkeypatch.setenv("CXX", compiler)
    with caplog.at_level(logging.WARNING):
        assert load_operations("broken", "the test", [cache / "broken.cc"]) is None
    assert "the test did not compile" in caplog.text
    assert not list((cache / "cache").glob("*.so"))


def test_a_compiler_may_have_arguments(cache, monkeypatch, caplog):
    """CXX="ccache g++" is usual: here a program that runs the one named after it."""
    monkeypatch.setenv("CXX", "env g++")
    with caplog.at_level(logging.WARNING):
        assert load_operations("broken", "the test", [cache / "broken.cc"]) is None
    assert "broken.cc" in caplog.text  # what g++ says of it


def test_the_cache_is_where_it_is_said_or_where_one_can_write(monkeypatch, tmp_path):
    """Empty names count as none; a user without an account has no home."""
    for name in ("HIU_TF_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "hiu_tf"
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert cache_folder() == Path(tempfile.gettempdir()) / "hiu_tf"
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert cache_folder() == Path("/cache/hiu_tf")
    monkeypatch.setenv("HIU_TF_CACHE", "/own")
    assert cache_folder() == Path("/own")
