"""A network on a TF Serving server with the runtime's interface: crops in, named arrays out; every reply is checked."""

from __future__ import annotations

import cv2
import numpy as np

from hiu_tf.conventions import keys
from hiu_tf.geometry.camera import project
from hiu_tf.serving.client import ServingError, connect

_ARRAYS = {
    keys.JOINTS_2D: (21, 2), keys.SCORES: (21,), keys.JOINTS_3D: (21, 3), keys.VERTICES: (None, 3), keys.SHAPE: (10,),
    keys.POSE: (15, 3), keys.ROTATION: (3,), keys.TRANSLATION: (3,),
}  # fmt: skip


class ServedNetwork:
    """A network on a server. Sends crops as PNG files, which are a tenth of the size of floats in JSON.

    Args:
      address: of the server, as in `serving.client.connect`.
      model: name of the model on the server.
      card: of the model.
    """

    def __init__(self, address: str, model: str, card: dict):
        self._client, self._address = connect(address, model), address
        self._camera = np.array(card["camera"])

    def __call__(self, crops: np.ndarray) -> dict[str, np.ndarray]:
        """All outputs for crops [B, S, S, 3] in [0, 1].

        Raises:
          ServingError: the server cannot be reached, or its reply is not that of an exported hand model.
        """
        found = self._ask("mesh", crops, _ARRAYS)
        masks = self._client.predict("mask", image_bytes=_encoded(crops)).get("mask_png_bytes", ())
        found[keys.MASK] = np.stack([self._mask(png, crops.shape[1]) for png in masks] or [np.zeros((0, 0))])
        if len(found[keys.MASK]) != len(crops):
            raise ServingError(f"{self._address} answers {len(masks)} masks for {len(crops)} crops")
        found[keys.JOINTS_2D_PROJECTED] = project(found[keys.JOINTS_3D], self._camera)
        return found

    def _ask(self, signature, crops, wanted):
        outputs = self._client.predict(signature, image_bytes=_encoded(crops))
        for name, shape in wanted.items():
            array = outputs.get(name)
            if array is None or array.dtype.kind not in "fiu" or not _fits(array.shape, (len(crops), *shape)):
                found = "nothing" if array is None else f"{array.dtype} of shape {array.shape}"
                raise ServingError(f"{self._address}: {name} should be numbers [{len(crops)}, {shape}], it is {found}")
            if not np.isfinite(array).all():
                raise ServingError(f"{self._address}: {name} holds values that are not finite")
        return {name: np.asarray(outputs[name], np.float32) for name in wanted}

    def _mask(self, png, size):
        mask = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE) if png else None
        if mask is None or mask.shape != (size, size):
            raise ServingError(f"{self._address}: a mask is no PNG of {size}x{size} pixels")
        return mask.astype(np.float32) / 255.0


def _encoded(crops):
    pictures = np.round(255.0 * np.asarray(crops)).astype(np.uint8)
    return [cv2.imencode(".png", picture[..., ::-1])[1].tobytes() for picture in pictures]


def _fits(shape, wanted):
    return len(shape) == len(wanted) and all(want in (None, size) for want, size in zip(wanted, shape))
