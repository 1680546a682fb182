"""Builds the procedural right hand that hiu-tf ships: skin, rig, blend shapes, pose prior.

    python tools/build_hand.py                      # writes hiu_tf/hand/procedural_right.npz
    python tools/build_hand.py --out my_hand.npz --vertices 2000

Needs the extra packages of `pip install -e .[dev]` (scikit-image, fast-simplification, trimesh).
The result is the same on every run.
"""

import argparse
import sys

import numpy as np

from hiu_tf.conventions.skeleton import MODEL_PARENTS
from hiu_tf.hand import poses, rig, sculpt
from hiu_tf.hand.model import COMPACT, HandModel, save_hand_model
from hiu_tf.hand.procedural import PROCEDURAL_HAND


def build(num_vertices: int) -> HandModel:
    """All arrays of the procedural hand, metres."""
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
    """Relative skin colour [V, 3]: lighter palm, reddish knuckles and tips, pale nails."""
    import trimesh

    normals = trimesh.Trimesh(vertices, faces, process=False).vertex_normals
    joints, tips = rig.rest_joints()
    back = np.clip(0.5 + 0.8 * normals[:, 1], 0, 1)[:, None]
    colors = (1 - back) * np.array([1.0, 0.90, 0.86]) + back * np.array([0.93, 0.86, 0.82])
    near = lambda centre, size: np.exp(-((np.linalg.norm(vertices - centre, axis=1) / size) ** 2))[:, None]
    for centre in joints[1:]:
        colors = colors - near(centre, 0.011) * back * np.array([0.03, 0.07, 0.07])
    for centre in tips:
        colors = colors - near(centre, 0.010) * (1 - back) * np.array([0.0, 0.07, 0.05])
        nail = near(centre + np.array([0.004, 0.004, 0]), 0.0075) * (normals[:, 1:2] > 0.45)
        colors = (1 - nail) * colors + nail * np.array([1.0, 0.93, 0.90])
    return np.clip(colors, 0, 1)


def main(argv=None) -> int:
    """Runs the program; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default=str(PROCEDURAL_HAND), help="where to write the .npz")
    parser.add_argument("--vertices", type=int, default=1500, help="about how many vertices (default 1500)")
    args = parser.parse_args(argv)
    model = build(args.vertices)
    save_hand_model(args.out, model, half=COMPACT)
    print(f"{args.out}: {len(model.vertices)} vertices, {len(model.faces)} faces")
    return 0


if __name__ == "__main__":
    sys.exit(main())
