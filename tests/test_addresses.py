"""No message tells a password."""

import pytest

from hiu_tf.addresses import shown


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("https://ann:se%40cret@host:80/a@b", "https://host:80/a@b"),
        ("rtsp://ann:a@b@host/live?to=http://c", "rtsp://host/live?to=http://c"),
        ("ann:secret@host:80", "host:80"),
        ("host:80/models", "host:80/models"),
        ("grpc://host:1", "grpc://host:1"),
        ("", ""),
    ],
)
def test_user_and_password_are_left_out(address, words):
    assert shown(address) == words
