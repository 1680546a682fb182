"""The sample: one type for all data sets, whatever labels they have."""

from dataclasses import dataclass, field

import numpy as np

from hiu_tf.conventions.skeleton import NUM_JOINTS
from hiu_tf.errors import UserError
from hiu_tf.geometry.camera import is_pinhole

RIGHT, LEFT, UNKNOWN = 0, 1, -1
SIDES = {"right": RIGHT, "left": LEFT, None: UNKNOWN, "unknown": UNKNOWN}


class DataSetError(UserError):
    """A folder, file or sample of a data set that cannot be read; the message says what and where."""


class SampleError(UserError):
    """A sample that breaks the schema; the message names set, sample and field."""


class LeftOut(UserError):
    """A sample excluded by rules of its set; the message says why. This is not an error."""


def _empty(*shape):
    return field(default_factory=lambda: np.zeros(shape, np.float32))


@dataclass
class Sample:
    """One hand in one picture.

    Attributes:
      dataset, sample_id: origin of the sample; together they are unique.
      group: samples of one group (one scene) are always in the same fold; empty: the sample is its own group.
      image: encoded JPEG or PNG, RGB, upright (any EXIF rotation already applied).
      width, height: of the picture, pixels.
      side: RIGHT, LEFT or UNKNOWN.
      joints_2d: [21, 2] pixels; joints_2d_weight [21] >= 0, 0 for joints without a label.
      visible: [21] 0 for joints that the set labels as hidden, 1 for visible ones and for those without this label.
      joints_3d: [21, 3] metres, camera frame; joints_3d_weight [21].
      intrinsics: K [3, 3] in pixels, all zero if unknown (then 3D labels are refused).
      box: [4] x, y, width, height of the hand in pixels, if the set gives a box; all zero: the tight box of
        the labelled 2D joints is used.
      mask: encoded one-channel PNG, 255 on the hand, or empty.
      vertices: [V, 3] metres, camera frame, or [0, 3].
      shape: beta [10], pose: theta [15, 3] and rotation: R [3, 3] of the right hand model with the mesh `vertices`.
        For a left hand they describe its mirror image, and R includes the reflection, so that it maps to the
        picture's own camera frame. R is all zero if they are unknown.
      no_hand: the picture shows no hand at `box`: empty heat maps and an empty mask are its labels.
    """

    dataset: str
    sample_id: str
    image: bytes
    width: int
    height: int
    side: int = UNKNOWN
    group: str = ""
    joints_2d: np.ndarray = _empty(NUM_JOINTS, 2)
    joints_2d_weight: np.ndarray = _empty(NUM_JOINTS)
    visible: np.ndarray = field(default_factory=lambda: np.ones(NUM_JOINTS, np.float32))
    joints_3d: np.ndarray = _empty(NUM_JOINTS, 3)
    joints_3d_weight: np.ndarray = _empty(NUM_JOINTS)
    intrinsics: np.ndarray = _empty(3, 3)
    box: np.ndarray = _empty(4)
    mask: bytes = b""
    vertices: np.ndarray = _empty(0, 3)
    shape: np.ndarray = _empty(10)
    pose: np.ndarray = _empty(15, 3)
    rotation: np.ndarray = _empty(3, 3)
    no_hand: bool = False

    def validate(self) -> "Sample":
        """Returns the sample itself, or raises SampleError for the first rule that it breaks."""
        for name, shape in _ARRAYS.items():
            array = np.asarray(getattr(self, name), np.float32)
            if array.ndim != len(shape) or any(wish not in (None, size) for wish, size in zip(shape, array.shape)):
                self._refuse(name, f"has shape {array.shape}, expected {shape}")
            if not np.all(np.isfinite(array)):
                self._refuse(name, "holds values that are not finite")
            setattr(self, name, array)
        if not self.image:
            self._refuse("image", "is empty")
        if self.side not in (RIGHT, LEFT, UNKNOWN):
            self._refuse("side", f"is {self.side}, expected {RIGHT}, {LEFT} or {UNKNOWN}")
        if min(self.joints_2d_weight.min(), self.joints_3d_weight.min()) < 0:
            self._refuse("weights", "must be >= 0")
        if self.intrinsics.any() and min(self.intrinsics[0, 0], self.intrinsics[1, 1]) <= 0:
            self._refuse("intrinsics", f"have focal lengths {self.intrinsics[0, 0]:g}, {self.intrinsics[1, 1]:g}")
        if self.intrinsics.any() and not is_pinhole(self.intrinsics):
            self._refuse(
                "intrinsics", f"are {self.intrinsics.tolist()}, expected fx, 0, cx; 0, fy, cy; 0, 0, 1 (no skew)"
            )
        if self.joints_3d_weight.any() and self.intrinsics[0, 0] <= 0:
            self._refuse("intrinsics", "are needed where there are 3D joints")
        labelled = self.joints_2d[self.joints_2d_weight > 0]
        if self.no_hand and (len(labelled) or self.joints_3d_weight.any() or self.mask):
            self._refuse("no_hand", "is set beside labels of a hand")
        if not len(labelled) and not self.box[2:].all():
            self._refuse("joints_2d_weight", "labels no joint and there is no box: where is the hand?")
        size = np.array([self.width, self.height])
        if size.min() < 2:
            self._refuse("image", f"is {self.width}x{self.height} pixels, expected at least 2x2")
        if self.box[2:].min() < 0:
            self._refuse("box", f"has a negative size: {self.box.tolist()}")
        if np.any(labelled < -size) or np.any(labelled > 2 * size):
            self._refuse("joints_2d", "lie more than a picture's size outside the picture")
        return self

    def _refuse(self, name, why):
        raise SampleError(f"{self.dataset}/{self.sample_id}: {name} {why}")


_ARRAYS = {
    "joints_2d": (NUM_JOINTS, 2),
    "joints_2d_weight": (NUM_JOINTS,),
    "visible": (NUM_JOINTS,),
    "joints_3d": (NUM_JOINTS, 3),
    "joints_3d_weight": (NUM_JOINTS,),
    "intrinsics": (3, 3),
    "box": (4,),
    "vertices": (None, 3),
    "shape": (10,),
    "pose": (15, 3),
    "rotation": (3, 3),
}
