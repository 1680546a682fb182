"""Reads the metadata of an ONNX file without the packages of ONNX, so that a damaged file is never given to them.

An ONNX file is one Protocol Buffers message, ModelProto: fields one after the other, each with its number. Only the
outermost message and its entries of metadata are read here.
"""

from __future__ import annotations

from collections.abc import Iterator

#: Number of the field metadata_props of ModelProto; in each of its entries 1 is the key and 2 the value.
_METADATA, _KEY, _VALUE = 14, 1, 2
_NUMBER, _BYTES = 0, 2  # kinds of fields that these messages have
_LONGEST = 10  # bytes of a number of 64 bits


def metadata(content: bytes, name: str) -> tuple[bytes, bytes]:
    """Finds an entry of the metadata.

    Args:
      content: bytes of the ONNX file.
      name: key of the entry.

    Returns:
      (value of the entry, content without the entry).

    Raises:
      KeyError: there is no such entry.
      ValueError: the content is no sequence of fields.
    """
    for number, start, inside, end in _fields(content):
        if number == _METADATA:
            part = content[inside:end]
            entry = {key: part[first:last] for key, _, first, last in _fields(part)}
            if entry.get(_KEY) == name.encode():
                return entry.get(_VALUE, b""), content[:start] + content[end:]
    raise KeyError(name)


def _fields(content: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Yields (number, start of the field, start of its value, end) of each field."""
    place = 0
    while place < len(content):
        start = place
        tag, place = _number(content, place)
        kind = tag & 7
        value, after = _number(content, place)
        if kind not in (_NUMBER, _BYTES):
            raise ValueError(f"a field of kind {kind} at byte {start}")
        first, place = (place, after) if kind == _NUMBER else (after, after + value)
        if place > len(content):
            raise ValueError("it is cut off")
        yield tag >> 3, start, first, place


def _number(content, place):
    """Reads seven bits of each byte, the lowest first, until a byte without its top bit. Returns (number, end)."""
    number = 0
    for k, byte in enumerate(content[place : place + _LONGEST]):
        number |= (byte & 0x7F) << (7 * k)
        if byte < 0x80:
            return number, place + k + 1
    raise ValueError("it is cut off")
