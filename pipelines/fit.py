"""Checks that the labels of a sample are consistent with each other."""

import numpy as np

from hiu_tf.pictures import decode_mask
from pipelines.schema import Sample

#: Maximum distance in pixels between a 2D label and the projection of its 3D label.
_TOLERANCE_PX = 2.0
#: Plausible length of the bone below in metres, to detect wrong units.
_BONE_RANGE_M = (0.005, 0.12)
_BONE = (9, 10)


def camera_errors(sample: Sample) -> list[str]:
    """Lists inconsistencies: K X against the 2D labels, units, depth, the size of the mask."""
    errors = []
    both = (sample.joints_2d_weight > 0) & (sample.joints_3d_weight > 0)
    joints = sample.joints_3d[sample.joints_3d_weight > 0]
    if len(joints) and joints[:, 2].min() <= 0:
        errors.append("joints_3d lie behind the camera")
    elif both.any():
        pixels = sample.joints_3d[both] @ sample.intrinsics.T
        distance = np.linalg.norm(pixels[:, :2] / pixels[:, 2:] - sample.joints_2d[both], axis=1)
        if distance.max() > _TOLERANCE_PX:
            errors.append(
                f"K X lies {distance.max():.1f} px from joints_2d (joint {np.flatnonzero(both)[distance.argmax()]})"
            )
    if sample.joints_3d_weight[list(_BONE)].all():
        length = float(np.linalg.norm(sample.joints_3d[_BONE[0]] - sample.joints_3d[_BONE[1]]))
        if not _BONE_RANGE_M[0] <= length <= _BONE_RANGE_M[1]:
            errors.append(f"the middle finger's first bone is {length:.3g} m long: wrong units or joint order?")
    if sample.mask:
        mask = decode_mask(sample.mask)
        if mask is None:
            errors.append("mask is no readable picture")
        elif mask.shape != (sample.height, sample.width):
            errors.append(f"mask is {mask.shape[::-1]} pixels, the picture {(sample.width, sample.height)}")
        elif not mask.any():
            errors.append("mask is empty")
    return errors
