"""Builds the procedural right hand that hiu-tf ships: skin, rig, blend shapes, pose prior.

    python tools/build_hand.py                      # writes hiu_tf/hand/procedural_right.npz
    python tools/build_hand.py --out my_hand.npz --vertices 2000

Needs the extra packages of `pip install -e .[dev]` (scikit-image, fast-simplification, trimesh).
The result is the same on every run.
"""

import argparse
import sys

import numpy as np

from hiu_tf.atomic import written_whole
from hiu_tf.conventions.skeleton import FINGERS, MODEL_PARENTS
from hiu_tf.geometry.mesh import vertex_normals
from hiu_tf.hand import anatomy, poses, rig, sculpt
from hiu_tf.hand.atlas import ATLAS, SKIN, procedural_atlas, save_atlas
from hiu_tf.hand.model import COMPACT, HandModel, save_hand_model
from hiu_tf.hand.procedural import PROCEDURAL_HAND, procedural_hand
from hiu_tf.programs._program import program


def build(num_vertices: int) -> HandModel:
    """Builds all arrays of the procedural hand, metres."""
    skin_mm, faces = sculpt.build_skin(num_vertices)
    vertices = skin_mm / 1000
    weights = rig.skinning_weights(vertices, faces)
    directions = rig.shape_directions(vertices, weights)
    mean, basis, deviations = poses.pose_statistics(4000, seed=1)
    return HandModel(
        vertices=vertices,
        faces=faces,
        shape_directions=directions,
        pose_directions=rig.pose_directions(vertices, weights),
        weights=weights,
        joint_regressor=rig.joint_regressor(vertices, directions),
        parents=MODEL_PARENTS,
        tips=rig.tip_vertices(vertices),
        pose_mean=mean,
        pose_basis=basis,
        pose_deviations=deviations,
        colors=skin_colors(vertices, faces),
        side="right",
        name="hiu-tf procedural hand",
        licence="Apache-2.0",
    )


def skin_colors(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Relative skin colour [V, 3]: lighter palm, reddish knuckles and fingertips, creases, pale nails."""
    normals = vertex_normals(vertices, faces)
    joints, tips = rig.rest_joints()
    back = np.clip(0.5 + 0.8 * normals[:, 1:2], 0, 1)
    colors = (1 - back) * np.array([1.0, 0.88, 0.84]) + back * np.array([0.90, 0.81, 0.76])
    for joint in joints[1:]:
        colors -= _near(vertices, joint, 0.010) * (back * _KNUCKLE + (1 - back) * _CREASE)
    for name, tip in zip(FINGERS, tips):
        finger = anatomy.FINGERS_MM[name]
        along = tip - anatomy.finger_joints_mm(name)[2] / 1000
        along /= np.linalg.norm(along)
        dorsal = np.cross(along, anatomy.joint_axes(name)[0])
        facing = normals @ dorsal
        colors -= _near(vertices, tip, 0.011) * (facing < 0.2)[:, None] * _FINGERTIP
        nail = tip - 0.003 * along + finger.radii[3] / 1000 * dorsal
        colors = np.where((_near(vertices, nail, 0.0075) > 0.35) & (facing > 0.45)[:, None], _NAIL, colors)
    return np.clip(colors, 0, 1)


_KNUCKLE = np.array([0.05, 0.11, 0.11])
_CREASE = np.array([0.05, 0.08, 0.08])
_FINGERTIP = np.array([0.0, 0.09, 0.07])
_NAIL = np.array([1.0, 0.94, 0.95])


def _near(vertices, centre, size):
    return np.exp(-((np.linalg.norm(vertices - centre, axis=1) / size) ** 2))[:, None]


def write_atlas(hand: HandModel) -> None:
    """Unwraps and paints the hand that ships; writes the files of hand/atlas.py."""
    from PIL import Image

    from hiu_tf.hand.skin import paint_skin
    from hiu_tf.hand.unwrap import unwrap

    save_atlas(ATLAS, unwrap(hand))
    with written_whole(SKIN) as scratch:
        Image.fromarray(paint_skin(hand, procedural_atlas())).save(scratch, "PNG", optimize=True)
    print(f"{ATLAS}: {len(procedural_atlas().source)} points\n{SKIN}")


def parse_args(argv):
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default=str(PROCEDURAL_HAND), help="where to write the .npz")
    parser.add_argument("--vertices", type=int, default=1500, help="about how many vertices (default 1500)")
    parser.add_argument("--atlas", action="store_true", help="keep the hand; write its texture coordinates and skin")
    return parser.parse_args(argv)


def main(argv=None) -> int:
    """Runs the program; returns the exit code."""
    args = parse_args(argv)
    if args.atlas:
        write_atlas(procedural_hand())
        return 0
    model = build(args.vertices)
    save_hand_model(args.out, model, half=COMPACT)
    print(f"{args.out}: {len(model.vertices)} vertices, {len(model.faces)} faces")
    return 0


if __name__ == "__main__":
    sys.exit(program(main))
