"""Evidence from hands whose parameters are known, and numeric derivatives, for the tests of the fit."""

import numpy as np

from hiu_tf.fit.chain import NUM_PARAMETERS, Chain
from hiu_tf.fit.evidence import Evidence, directions_of
from hiu_tf.geometry.camera import project, virtual_intrinsics

SIZE = 160
CAMERA = virtual_intrinsics(SIZE).astype(float)


def evidence_of(hand, hands, measured=False):
    """Exact evidence of joints and bones, in front of a crop's camera."""
    joints = Chain(hand).joints(hands)
    flat, count = project(joints, CAMERA), len(joints)
    return Evidence(
        joints_2d=flat,
        joints_2d_weight=np.ones((count, 21)),
        intrinsics=np.repeat(CAMERA[np.newaxis], count, axis=0),
        box=np.ptp(flat, axis=1).max(axis=1),
        directions=directions_of(joints),
        directions_weight=np.ones((count, 20)),
        joints_3d=joints,
        joints_3d_weight=np.full((count, 21), float(measured)),
    )


def numeric(function, hands, step=1e-6):
    """Derivatives of function(hands) with respect to a step of the parameters, by central differences."""
    columns = []
    for k in range(NUM_PARAMETERS):
        move = np.zeros((len(hands.shape), NUM_PARAMETERS))
        move[:, k] = step
        columns.append((function(hands.moved(move)) - function(hands.moved(-move))) / (2 * step))
    return np.stack(columns, axis=-1)
