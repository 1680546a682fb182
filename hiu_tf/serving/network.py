"""A network on a TF Serving server with the runtime's interface: crops in, named arrays out; every reply is checked."""

from __future__ import annotations

import cv2
import numpy as np

from hiu_tf.addresses import shown
from hiu_tf.conventions import keys
from hiu_tf.geometry.camera import project
from hiu_tf.pictures import decode_mask
from hiu_tf.serving.client import ServingError, connect

_ARRAYS = {
    keys.JOINTS_2D: (21, 2), keys.SCORES: (21,), keys.JOINTS_3D: (21, 3), keys.VERTICES: (None, 3), keys.SHAPE: (10,),
    keys.POSE: (15, 3), keys.ROTATION: (3,), keys.TRANSLATION: (3,),
}  # fmt: skip


class ServedNetwork:
    """A network on a server. Sends crops as bytes over gRPC, as PNG files over REST.

    A crop in JSON is ten times as large as a PNG file. REST then needs two requests, for the mesh and for the mask as a
    PNG file, and gRPC one.

    Args:
      address: of the server, as in `serving.client.connect`.
      model: name of the model on the server.
      card: of the model.
    """

    def __init__(self, address: str, model: str, card: dict):
        self._client, self._address = connect(address, model), shown(address)
        self._camera = np.array(card["camera"])
        self._signature = "tensor_uint8" if self._client.sends_bytes else "mesh"
        told = card["signatures"][self._signature]["outputs"]  # of older exports the mesh tells no side
        self._arrays = _ARRAYS | ({keys.RIGHT: ()} if keys.RIGHT in told else {})

    def __call__(self, crops: np.ndarray) -> dict[str, np.ndarray]:
        """All outputs for crops [B, S, S, 3] in [0, 1].

        Raises:
          ServingError: the server cannot be reached, or its reply is not that of an exported hand model.
        """
        if self._client.sends_bytes:
            outputs = self._client.predict(self._signature, image=_as_bytes(crops))
            found = self._checked(outputs, len(crops), self._arrays | {keys.MASK: crops.shape[1:3]})
        else:
            encoded = _encoded(crops)
            outputs = self._client.predict(self._signature, image_bytes=encoded)
            found = self._checked(outputs, len(crops), self._arrays)
            found[keys.MASK] = self._masks(encoded, crops.shape[1])
        found[keys.JOINTS_2D_PROJECTED] = project(found[keys.JOINTS_3D], self._camera)
        return found

    def _checked(self, outputs, count, wanted):
        """The wanted outputs as float32, if all of them have their shape and are finite."""
        for name, shape in wanted.items():
            array = outputs.get(name)
            if array is None or array.dtype.kind not in "fiu" or not _fits(array.shape, (count, *shape)):
                found = "nothing" if array is None else f"{array.dtype} of shape {array.shape}"
                raise ServingError(f"{self._address}: {name} should be numbers [{count}, {shape}], it is {found}")
            if not np.isfinite(array).all():
                raise ServingError(f"{self._address}: {name} holds values that are not finite")
        return {name: np.asarray(outputs[name], np.float32) for name in wanted}

    def _masks(self, encoded, size):
        masks = self._client.predict("mask", image_bytes=encoded).get("mask_png_bytes", ())
        if len(masks) != len(encoded):
            raise ServingError(f"{self._address} answers {len(masks)} masks for {len(encoded)} crops")
        return np.stack([self._mask(png, size) for png in masks])

    def _mask(self, png, size):
        mask = decode_mask(png) if png else None
        if mask is None or mask.shape != (size, size):
            raise ServingError(f"{self._address}: a mask is no PNG of {size}x{size} pixels")
        return mask.astype(np.float32) / 255.0


def _encoded(crops):
    return [cv2.imencode(".png", picture[..., ::-1])[1].tobytes() for picture in _as_bytes(crops)]


def _as_bytes(crops):
    """[0, 1] -> uint8, exact for crops of `runtime.crop`, which are made of bytes."""
    return np.round(255.0 * np.asarray(crops)).astype(np.uint8)


def _fits(shape, wanted):
    return len(shape) == len(wanted) and all(want in (None, size) for want, size in zip(wanted, shape))
