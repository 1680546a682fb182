"""Operations in C++ that cannot be built are replaced, with a warning that says why."""

import logging

import pytest

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
