"""The reader of an ONNX file's metadata, on bytes written by hand: no package of ONNX is needed."""

import pytest

from hiu_tf.runtime.onnx_metadata import metadata


def number(value):
    """A number in seven bits of each byte, the lowest first."""
    return bytes([value]) if value < 0x80 else bytes([value & 0x7F | 0x80]) + number(value >> 7)


def field(place, value):
    """A field of bytes, or of a whole number."""
    if isinstance(value, int):
        return number(place << 3) + number(value)
    return number(place << 3 | 2) + number(len(value)) + value


def entry(key, value):
    return field(14, field(1, key) + field(2, value))


VERSION, GRAPH = field(1, 8), field(7, bytes(range(256)) * 3)


def test_an_entry_and_the_rest():
    other, long = entry(b"author", b"x"), entry(b"model.json", b"{}" * 5000)
    for content in (VERSION + GRAPH + other + long, VERSION + long + other + GRAPH):
        value, rest = metadata(content, "model.json")
        assert value == b"{}" * 5000
        assert len(rest) == len(content) - len(long)
        assert rest == content.replace(long, b"")
    assert metadata(entry(b"model.json", b""), "model.json") == (b"", b"")


def test_no_such_entry():
    for content in (b"", VERSION + GRAPH, VERSION + entry(b"model", b"{}"), field(7, entry(b"model.json", b"{}"))):
        with pytest.raises(KeyError, match="model.json"):
            metadata(content, "model.json")


@pytest.mark.parametrize(
    "content",
    [
        (VERSION + GRAPH)[:-1],
        VERSION + b"\x72",
        VERSION + b"\x80" * 20,
        b"no ONNX file",
        b"\x09" + bytes(8),  # a field of eight bytes, which these messages do not have
        field(14, b"\x0a\xff\xff"),
    ],
)
def test_no_sequence_of_fields(content):
    with pytest.raises(ValueError, match="cut off|of kind"):
        metadata(content, "model.json")


def test_random_bytes_are_refused_or_hold_nothing(rng):
    for _ in range(300):
        content = rng.integers(0, 256, rng.integers(1, 200), dtype="uint8").tobytes()
        with pytest.raises((KeyError, ValueError)):
            metadata(content, "model.json")
