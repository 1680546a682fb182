"""The container of glTF 2.0: one binary file of arrays, pictures and a JSON description. NumPy and nothing else."""

from __future__ import annotations

import json
import struct

import numpy as np

#: Component type of each NumPy type in glTF.
_COMPONENTS = {
    np.dtype(np.uint8): 5121,
    np.dtype(np.uint16): 5123,
    np.dtype(np.uint32): 5125,
    np.dtype(np.float32): 5126,
}
#: Name of an element by the shape of one.
_KINDS = {(): "SCALAR", (2,): "VEC2", (3,): "VEC3", (4,): "VEC4", (4, 4): "MAT4"}
#: Purposes of an array that is read by the graphics card.
VERTICES, INDICES = 34962, 34963


class Glb:
    """Collects the arrays and pictures of a file.

    Attributes:
      document: the JSON description, without what this class adds: accessors, views, images, the buffer.
    """

    def __init__(self, document: dict):
        self.document = document
        self._accessors, self._views, self._images, self._content = [], [], [], b""

    def array(self, values: np.ndarray, purpose: int | None = None, bounds: bool = False) -> int:
        """Adds an array; returns the number of its accessor.

        Args:
          values: [N], [N, 2], [N, 3], [N, 4] or [N, 4, 4] uint8, uint16, uint32 or float32; matrices are column-major.
          purpose: VERTICES or INDICES for arrays of a mesh.
          bounds: whether to note the smallest and largest element, as glTF requires of positions and times.
        """
        view = self._view(np.ascontiguousarray(values).tobytes(), {"target": purpose} if purpose else {})
        accessor = {
            "bufferView": view,
            "componentType": _COMPONENTS[values.dtype],
            "count": len(values),
            "type": _KINDS[values.shape[1:]],
        }
        if bounds:
            low, high = (np.atleast_1d(edge).tolist() for edge in (values.min(axis=0), values.max(axis=0)))
            accessor |= {"min": low, "max": high}
        self._accessors.append(accessor)
        return len(self._accessors) - 1

    def picture(self, png: bytes) -> int:
        """Adds the content of a PNG file; returns the number of its image."""
        self._images.append({"bufferView": self._view(png, {}), "mimeType": "image/png"})
        return len(self._images) - 1

    def to_bytes(self) -> bytes:
        """The content of the .glb file."""
        added = {"accessors": self._accessors, "bufferViews": self._views, "images": self._images}
        added |= {"buffers": [{"byteLength": len(self._content)}] if self._content else []}
        document = {
            name: value for name, value in (self.document | added).items() if value != []
        }  # glTF has no empty lists
        text = json.dumps(document, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 4)
        chunks = struct.pack("<II", len(text), 0x4E4F534A) + text
        if self._content:
            chunks += struct.pack("<II", len(self._content), 0x004E4942) + self._content
        return struct.pack("<III", 0x46546C67, 2, 12 + len(chunks)) + chunks

    def _view(self, data, more):
        self._views.append({"buffer": 0, "byteOffset": len(self._content), "byteLength": len(data)} | more)
        self._content += data + b"\0" * (-len(data) % 4)
        return len(self._views) - 1
