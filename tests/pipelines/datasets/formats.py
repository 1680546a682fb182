"""Writes small data sets in the exact layouts of the published ones, with their pitfalls (cards in pipelines/datasets).

Every builder returns the labels that a reader must return, computed here from the raw numbers, not by the reader.
"""

import json
import pickle

import cv2
import numpy as np
from scipy.io import savemat
from scipy.spatial.transform import Rotation

#: standard[i] = theirs[MAP[i]], written by hand from the descriptions of the sets.
RHD_MAP = [0, 4, 3, 2, 1, 8, 7, 6, 5, 12, 11, 10, 9, 16, 15, 14, 13, 20, 19, 18, 17]
STB_MAP = [0, 17, 18, 19, 20, 13, 14, 15, 16, 9, 10, 11, 12, 5, 6, 7, 8, 1, 2, 3, 4]


def hand(rng, centre=(0.02, -0.01, 0.6)):
    """A flat open hand [21, 3], metres, standard order, randomly rotated."""
    joints = np.zeros((21, 3))
    for finger, angle in enumerate(np.radians([50, 20, 5, -10, -25])):
        reach = np.array([0.035, 0.065, 0.09, 0.11]) if finger == 0 else np.array([0.09, 0.125, 0.148, 0.168])
        joints[1 + 4 * finger : 5 + 4 * finger, :2] = reach[:, None] * [np.sin(angle), -np.cos(angle)]
    turned = joints @ Rotation.from_rotvec(rng.normal(0, 0.4, 3)).as_matrix().T
    return turned - turned.mean(axis=0) + centre


def project(points, camera):
    pixels = points @ np.asarray(camera).T
    return pixels[..., :2] / pixels[..., 2:]


def to_raw(standard, order):
    raw = np.empty_like(standard)
    raw[order] = standard
    return raw


def noise(rng, width, height):
    return rng.integers(0, 255, (height, width, 3), dtype=np.uint8)


def save(path, picture):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture)


def rhd(folder, rng, pixels=((30, 20), (10, 10), (0, 40)), visible=None):
    """Writes a picture for each (left, right) number of pixels in the mask; the right hand is 5 cm to the right."""
    camera = np.array([[280.0, 0, 160], [0, 280, 160], [0, 0, 1]])
    annotations, truth = {}, []
    for number, (left_pixels, right_pixels) in enumerate(pixels):
        left, right = hand(rng), hand(rng, (0.12, 0.02, 0.62))
        xyz = np.concatenate([to_raw(left, RHD_MAP), to_raw(right, RHD_MAP)])
        seen = np.ones((42, 1)) if visible is None else visible
        annotations[number] = {"uv_vis": np.hstack([project(xyz, camera), seen]), "xyz": xyz, "K": camera}
        mask = np.ones((320, 320), np.uint8)
        mask[0, :left_pixels] = rng.integers(2, 18, left_pixels)
        mask[1, :right_pixels] = rng.integers(18, 34, right_pixels)
        for name, picture in (("color", noise(rng, 320, 320)), ("mask", mask)):
            save(folder / "training" / name / f"{number:05d}.png", picture)
        truth.append({"left": left, "right": right, "camera": camera, "mask": mask})
    with open(folder / "training" / "anno_training.pickle", "wb") as file:
        pickle.dump(annotations, file, protocol=2)
    return truth


SK_COLOUR = np.array([[607.92271, 0, 314.78337], [0, 607.88192, 236.42484], [0, 0, 1]])
BUMBLEBEE = np.array([[822.79041, 0, 318.47345], [0, 822.79041, 250.31296], [0, 0, 1]])


def stb(folder, rng, frames=2):
    """Writes all twelve sequences, a few frames each. Returns {sequence: [hand in the colour or left camera, m]}."""
    turn, shift = Rotation.from_rotvec([0.00531, -0.01196, 0.00301]).as_matrix(), [-24.0381, -0.4563, -1.2326]
    truth = {}
    for sequence in [f"B{k}{kind}" for k in range(1, 7) for kind in ("Counting", "Random")]:
        hands = np.stack([hand(rng) for _ in range(frames)])
        truth[sequence] = hands
        raw = hands[:, np.argsort(STB_MAP)] * 1000
        depth_frame = raw @ turn.T + shift  # "relative to color camera to those relative to depth camera"
        for name, joints in (("BB", raw), ("SK", depth_frame)):
            path = folder / "labels" / f"{sequence}_{name}.mat"
            path.parent.mkdir(parents=True, exist_ok=True)
            savemat(path, {"handPara": joints.transpose(2, 1, 0)})
        for n in range(frames):
            for name in ("BB_left", "BB_right", "SK_color"):
                save(folder / "images" / sequence / f"{name}_{n}.png", noise(rng, 640, 480))
    return truth


def freihand(folder, rng, count=3, test_labels=False):
    """Writes `count` labels and four times as many pictures. The brightness of picture k is k."""
    camera = [[480.0, 0, 112], [0, 480, 112], [0, 0, 1]]
    hands = np.stack([hand(rng, (0, 0, 0.7)) for _ in range(count)])
    for name in ("training", "evaluation"):
        (folder / name).mkdir(parents=True)
        (folder / f"{name}_K.json").write_text(json.dumps([camera] * count))
        (folder / f"{name}_scale.json").write_text(json.dumps([0.03] * count))
    (folder / "training_xyz.json").write_text(json.dumps(hands.tolist()))
    for number in range(4 * count):
        save(folder / "training" / "rgb" / f"{number:08d}.jpg", np.full((224, 224, 3), 10 * number, np.uint8))
    for number in range(count):
        save(folder / "evaluation" / "rgb" / f"{number:08d}.jpg", noise(rng, 224, 224))
        mask = np.zeros((224, 224), np.uint8)
        mask[60:160, 50 + 10 * number : 150] = 255
        save(folder / "training" / "mask" / f"{number:08d}.jpg", mask)
        if test_labels:
            save(folder / "evaluation" / "segmap" / f"{number:08d}.png", (mask > 0).astype(np.uint8) * 3)
    if test_labels:
        (folder / "evaluation_xyz.json").write_text(json.dumps(hands.tolist()))
        (folder / "evaluation_verts.json").write_text(json.dumps(np.tile(hands[:, :1], (1, 778, 1)).tolist()))
    return hands, np.array(camera)


def cmu(folder, rng, name="000015774_01_l", split="manual_train", size=(1280, 720), **changes):
    """Writes one hand in a full frame; joints 3 and 4 are marked as unlabelled in the two ways of the format."""
    points = np.hstack([rng.uniform(300, 380, (21, 2)), np.ones((21, 1))])
    points[3] = [350, 350, 0]
    points[4] = [0, 0, 1]
    label = {
        "hand_pts": points.tolist(), "is_left": 1, "hand_box_center": [340.0, 342.0], "head_size": 120.0,
        "head_box": [[0, 0], [1, 1]], "mpii_body_pts": [[0, 0, 0]] * 16,
    } | changes  # fmt: skip
    save(folder / split / f"{name}.jpg", noise(rng, *size))
    (folder / split / f"{name}.json").write_text(json.dumps(label))
    return points


def hand143(folder, rng):
    points = np.hstack([rng.uniform(800, 900, (21, 2)), np.ones((21, 1))])
    points[20, 2] = 0
    save(folder / "hand143_panopticdb" / "imgs" / "00000000.jpg", noise(rng, 1920, 1080))
    entry = {
        "img_paths": "imgs/00000000.jpg",
        "img_width": 1920,
        "img_height": 1080,
        "joint_self": points.tolist(),
        "objpos": [850, 850],
    }
    (folder / "hand143_panopticdb" / "hands_v143_14817.json").write_text(json.dumps({"root": [entry]}))
    return points


DEXTER_CAMERA = np.array([[587.45209, 0, 325], [0, 600.67456, 249], [0, 0, 1]])


def dexter_object(folder, rng, frames=3):
    """Writes six sequences. Frame 1 lacks the ring tip, frame 2 all tips. Returns tips in the colour camera, metres."""
    move = np.array([[0.9999, 0.0034, 0.0161], [-0.0033, 1, -0.0079], [-0.0162, 0.0079, 0.9998]])
    shift = np.array([19.0473, -1.8514, -4.7501])
    truth = {}
    for sequence in ("Grasp1", "Grasp2", "Occlusion", "Pinch", "Rigid", "Rotate"):
        tips = np.stack([hand(rng)[[4, 8, 12, 16, 20]] for _ in range(frames)])
        truth[sequence] = tips
        lines = []
        for n, colour in enumerate(tips):
            x, y, z = np.linalg.solve(move, (colour * 1000 - shift).T)
            if n == 1:
                z[3] = 32001
            if n == 2:
                z[:] = 32001
            fields = [f" {-a:.6f},  {-b:.6f} , {c:.6f}" for a, b, c in zip(x, y, z)] + ["1, 2, 3", "4,5, 6"]
            lines.append(";".join(fields) + ";")
        notes = folder / "data" / sequence / "annotations"
        notes.mkdir(parents=True)
        (notes / f"{sequence}3D.txt").write_text("\n".join(lines) + "\n")
        (notes / f"{sequence}2D.txt").write_text("\n".join("1, 2;" * 5 for _ in tips))
        for n in range(frames):
            save(folder / "data" / sequence / "color" / f"Color_{n + 1:04d}.bmp", noise(rng, 640, 480))
    return truth


def hiu_released(folder, rng, name="abcdefghij", present=(1, 0), **changes):
    """Writes a picture in the released layout; points of an absent hand and point 5 of each hand are invalid."""
    points = rng.uniform(60, 240, (42, 2))
    points[[5, 26]] = [2.0, -0.67]
    for half in (0, 1):
        if not present[half]:
            points[21 * half : 21 * half + 21] = [2.0, -0.67]
    label = {
        "pts2d_2hand": points.tolist(), "pts3d_2hand": np.zeros((42, 3)).tolist(), "pts3d_w_2hand": [0] * 42,
        "hand_type": list(present), "hand_type_valid": 1,
    } | changes  # fmt: skip
    root = folder / "to_cv_community"
    save(root / f"{name}.png", noise(rng, 300, 280))
    save(root / f"{name}_mask.jpg", np.full((280, 300), 255, np.uint8))
    (root / f"{name}.json").write_text(json.dumps(label))
    return points


def hiu_older(folder, rng, name="17"):
    points = np.hstack([rng.uniform(60, 240, (21, 2)), np.full((21, 1), 2)])
    points[7, 2] = 0
    save(folder / f"{name}.jpg", noise(rng, 300, 280))
    save(folder / f"{name}_mask.png", np.full((280, 300), 255, np.uint8))
    (folder / f"{name}.json").write_text(json.dumps({"key_point_2ds": points.tolist(), "left": True}))
    (folder / "train.lst").write_text(f"{name}\n")
    return points
