"""COCO annotation files of any size: one pass finds every object, which is then read when it is needed.

The file of a million hands has a gigabyte, and ten as Python objects.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import re
from array import array
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import BinaryIO

from pipelines.schema import DataSetError

_SPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"[\d.eE+-]*")
_CHUNK = 1 << 22  # bytes
_LISTS = ("images", "annotations")


class CocoFile:
    """The images and annotations of a file, without their content.

    Attributes:
      keys: ids of the annotations, in the file's order.
      fingerprint: of the file's bytes.

    Raises:
      DataSetError: the file is missing, is no JSON, or is no COCO file; ids repeat; there are no annotations.
    """

    def __init__(self, path: Path, where: str):
        self._path, self._where = path, where
        self._places = {name: {} for name in _LISTS}  # id -> number of the object in its list
        self._spans = {name: array("q") for name in _LISTS}  # first byte and length of each object
        self._hands = array("l")  # number of annotations of each image
        self._image_ids = []  # of the annotations
        try:
            with path.open("rb") as file:
                text = _Text(file)
                found = {name: self._find(name, items) for name, items in _lists(text)}
                self.fingerprint = text.digest.hexdigest()[:16]
        except OSError as error:
            raise DataSetError(f"{where}: cannot read {path}: {error.strerror}") from error
        except (ValueError, RecursionError) as error:
            raise DataSetError(f"{where}: {path} is no JSON object: {error}") from error
        for name in _LISTS:
            if name not in found:
                raise DataSetError(f"{where}: {path} is no COCO key point file: {KeyError(name)!r}")
        repeated = sum(found.values()) - sum(map(len, self._places.values()))
        if repeated:
            raise DataSetError(f"{where}: {path}: {repeated} images or annotations repeat the id of another")
        self.keys = list(self._places["annotations"])
        if not self.keys:
            raise DataSetError(f"{where}: {path} has no annotations")
        self._count_hands()

    def annotation(self, key: Hashable) -> dict:
        """The annotation with this id."""
        return self._read("annotations", self._places["annotations"][key])

    def image(self, image_id) -> dict | None:
        """The image with this id, or None."""
        number = self._image_number(image_id)
        return None if number is None else self._read("images", number)

    def is_alone(self, image_id) -> bool:
        """Whether an image has one annotation."""
        number = self._image_number(image_id)
        return number is not None and self._hands[number] == 1

    def _find(self, name, items):
        """Notes the places of a list's objects. Returns their number."""
        places, spans, count = self._places[name], self._spans[name], 0
        for item, begin, length in items:
            try:
                places[item["id"]] = count
            except (KeyError, TypeError) as error:
                raise DataSetError(f"{self._where}: {self._path} is no COCO key point file: {error!r}") from error
            if name == "annotations":
                self._image_ids.append(item.get("image_id"))
            spans.extend((begin, length))
            count += 1
        return count

    def _count_hands(self):
        self._hands.extend([0] * len(self._places["images"]))
        for image_id in self._image_ids:
            number = self._image_number(image_id)
            if number is not None:
                self._hands[number] += 1
        del self._image_ids

    def _image_number(self, image_id):
        return self._places["images"].get(image_id) if isinstance(image_id, Hashable) else None

    def _read(self, name, number):
        begin, length = self._spans[name][2 * number : 2 * number + 2]
        with self._path.open("rb") as file:
            file.seek(begin)
            return json.loads(file.read(length))


def lies_inside(folder: Path, name: str) -> bool:
    """Whether a file name of annotations stays in their folder: those from elsewhere must not read this machine's other files."""
    return folder.resolve() in (folder / name).resolve().parents


def _lists(text: _Text) -> Iterator[tuple[str, Iterator[tuple[object, int, int]]]]:
    """Goes through a JSON object: yields (name, iterator of (item, first byte, length)) for its lists of `_LISTS`."""
    text.take("{")
    seen = set()
    while text.separated("}", first=not seen):
        name = text.value()[0]
        if not isinstance(name, str):
            raise ValueError(f"a key is {name!r}")
        if name in seen:
            raise ValueError(f"the key {name!r} stands twice")
        seen.add(name)
        text.take(":")
        if name in _LISTS and text.peek() == "[":
            items = _items(text)
            yield name, items
        else:
            text.value()
    if text.peek():
        raise ValueError("there is text behind the end")


def _items(text):
    text.take("[")
    first = True
    while text.separated("]", first):
        yield text.value()
        first = False


class _Text:
    """The text of a file, of which only a part is in memory, and where to read on."""

    def __init__(self, file: BinaryIO):
        self._file, self._decoder = file, codecs.getincrementaldecoder("utf-8")()
        self._text, self._at = "", 0
        self._char, self._byte = 0, 0  # a character of the text and its place in the file
        self._json = json.JSONDecoder()
        self.digest = hashlib.sha256()

    def peek(self) -> str:
        """The next character that is no space; "" at the end."""
        while True:
            self._at = _SPACE.match(self._text, self._at).end()
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def take(self, character: str) -> None:
        """Reads one character, which must be this one."""
        found = self.peek()
        if found != character:
            raise ValueError(f"expected {character!r}, found {found or 'the end'!r} (byte {self._place(self._at)})")
        self._at += 1

    def separated(self, end: str, first: bool) -> bool:
        """Reads the comma before a further item, or the end of the list or object. Returns whether an item follows."""
        if self.peek() == end:
            self._at += 1
            return False
        if not first:
            self.take(",")
        return True

    def value(self) -> tuple[object, int, int]:
        """Reads a value. Returns it, its first byte in the file, and its length in bytes."""
        self.peek()
        while True:
            try:
                value, end = self._json.raw_decode(self._text, self._at)
            except json.JSONDecodeError:
                if not self._more():
                    raise
                continue
            # A number may go on: of "0.5" the text in memory may end after 0, or after the point, where JSON ends at 0.
            if _NUMBER.match(self._text, end).end() == len(self._text) and self._more():
                continue
            begin = self._place(self._at)
            self._at = end
            return value, begin, self._place(end) - begin

    def _place(self, index):
        """Byte in the file of a character of the text; indices must grow."""
        self._byte += len(self._text[self._char : index].encode())
        self._char = index
        return self._byte

    def _more(self) -> bool:
        """Forgets what has been read and reads more; at least as much as is kept, so that long values stay cheap."""
        self._place(self._at)
        self._text, self._at, self._char = self._text[self._at :], 0, 0
        chunk = self._file.read(max(_CHUNK, len(self._text)))
        self.digest.update(chunk)
        self._text += self._decoder.decode(chunk, final=not chunk)
        return bool(chunk)
