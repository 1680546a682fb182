"""Renders scenes of the hand with exact labels, through the project's own rasteriser."""

import cv2
import numpy as np
import tensorflow as tf
from scipy.spatial.transform import Rotation

from hiu_tf.conventions import keys
from hiu_tf.geometry.mesh import vertex_normals
from hiu_tf.hand.layer import pose_hand
from hiu_tf.hand.model import HandModel
from hiu_tf.render.rasterizer import rasterize
from hiu_tf.render.shading import interpolate, shade
from pipelines.datasets.synthetic import backdrop
from pipelines.datasets.synthetic.scene import PICTURE_SIZE, Scene
from pipelines.schema import RIGHT, Sample
from pipelines.store import encode_mask

_OVERSAMPLE = 2
_OCCLUDED_SHARE = 0.2
_FOREARM_RINGS, _FOREARM_SIDES, _FOREARM_LENGTH = 7, 24, 0.24


def render(scenes: list[Scene], hand: HandModel, names: list[str]) -> list[Sample]:
    """Renders each scene to a sample with 2D, 3D, mask, mesh and K."""
    posed = _pose(tuple(np.stack([getattr(s, k) for s in scenes]) for k in ("shape", "pose", "rotation")), hand)
    vertices, joints = posed[keys.VERTICES].numpy(), posed[keys.JOINTS_3D].numpy()
    shifts, cameras = zip(*map(_place, scenes, vertices))
    vertices, joints = vertices + np.stack(shifts)[:, None], joints + np.stack(shifts)[:, None]
    arms = [_forearm(s, v, j) for s, v, j in zip(scenes, vertices, joints)]
    faces = np.concatenate([hand.faces, _tube_faces() + len(hand.vertices)])
    whole = np.concatenate([vertices, np.stack(arms)], axis=1)
    buffers = _rasterize(whole, np.stack(cameras), faces)
    return [
        _compose(scene, name, hand, faces, whole[i], joints[i], cameras[i], [b[i] for b in buffers])
        for i, (scene, name) in enumerate(zip(scenes, names))
    ]


def _pose(parameters, hand):
    shape, pose, rotation = (tf.constant(p, tf.float32) for p in parameters)
    return pose_hand(hand, shape, pose, rotation, tf.zeros_like(rotation))


def _place(scene, vertices):
    """Translation and K for which the hand has the scene's size and position in the picture."""
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    extent = max((high - low)[:2].max(), 0.05)
    depth = max(scene.focal * extent / scene.hand_pixels, 0.22)
    middle = (low + high) / 2
    offset = (scene.centre - (PICTURE_SIZE - 1) / 2) / scene.focal * depth
    shift = np.array([*offset, depth]) - middle
    centre = (PICTURE_SIZE - 1) / 2
    camera = np.array([[scene.focal, 0, centre], [0, scene.focal, centre], [0, 0, 1]], np.float32)
    return shift.astype(np.float32), camera


def _forearm(scene, vertices, joints):
    """Vertices [R * S, 3] of a bent, widening tube from the wrist; collapsed to a point without a forearm."""
    if not scene.forearm:
        return np.repeat(joints[:1], _FOREARM_RINGS * _FOREARM_SIDES, axis=0)
    rng = np.random.default_rng(scene.seed + 1)
    frame = Rotation.from_rotvec(scene.rotation).as_matrix()
    local = (vertices - joints[0]) @ frame
    cuff = local[local[:, 0] > local[:, 0].max() - 0.008]
    radius = np.abs(cuff[:, 1:]).max(axis=0) * (1.12 if scene.sleeve is not None else 1.0)
    along = np.linspace(local[:, 0].max() - 0.004, _FOREARM_LENGTH, _FOREARM_RINGS)
    angles = np.linspace(0, 2 * np.pi, _FOREARM_SIDES, endpoint=False)
    growth = 1 + rng.uniform(0.1, 0.7) * np.linspace(0, 1, _FOREARM_RINGS) ** 1.3
    ring = np.stack([np.cos(angles) * radius[0], np.sin(angles) * radius[1]], axis=-1)
    points = np.concatenate(
        [np.broadcast_to(along[:, None, None], (_FOREARM_RINGS, _FOREARM_SIDES, 1)), growth[:, None, None] * ring],
        axis=-1,
    )
    bend = Rotation.from_euler("yz", rng.normal(0, (0.18, 0.30))).as_matrix()
    return (points.reshape(-1, 3) @ bend.T @ frame.T + joints[0]).astype(np.float32)


def _tube_faces():
    i = np.arange(_FOREARM_RINGS - 1)[:, None] * _FOREARM_SIDES
    k = np.arange(_FOREARM_SIDES)[None]
    a, b = i + k, i + (k + 1) % _FOREARM_SIDES
    quads = np.stack([a, b, a + _FOREARM_SIDES, b + _FOREARM_SIDES], axis=-1).reshape(-1, 4)
    return np.concatenate([quads[:, [0, 2, 1]], quads[:, [1, 2, 3]]]).astype(np.int32)


def _rasterize(vertices, cameras, faces):
    """Covered pixels, face ids and barycentric weights at the oversampled size, as NumPy arrays."""
    size = PICTURE_SIZE * _OVERSAMPLE
    flat = vertices[..., :2] / vertices[..., 2:] * cameras[:, None, [0, 1], [0, 1]] + cameras[:, None, :2, 2]
    pixels = (flat + 0.5) * _OVERSAMPLE - 0.5
    buffer = _rasterize_graph(
        tf.constant(pixels, tf.float32), tf.constant(vertices[..., 2], tf.float32), tf.constant(faces), size
    )
    return tuple(tensor.numpy() for tensor in buffer)


@tf.function(reduce_retracing=True)
def _rasterize_graph(points, depth, faces, size):
    buffer = rasterize(points, depth, faces, size)
    return buffer.foreground_mask[..., 0], buffer.triangle_id[..., 0], buffer.barycentrics.value


def _compose(scene, name, hand, faces, vertices, joints, camera, buffer):
    """Shades the hand, adds background and occluder, and encodes the sample."""
    rng = np.random.default_rng(scene.seed)
    covered, face_id, weights = buffer
    seen = np.nonzero(covered)
    corners, weights = faces[face_id[seen]], weights[seen]
    normals = interpolate(vertex_normals(vertices, faces).astype(np.float32), corners, weights)
    normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-9)
    colors = interpolate(_surface_colors(scene, hand, vertices, rng).astype(np.float32), corners, weights)
    surface = np.zeros((*covered.shape, 3), np.float32)
    surface[seen] = shade(colors, normals, scene.lights.astype(np.float32), scene.ambient.astype(np.float32))
    is_hand = covered * (face_id < len(hand.faces))
    alpha, front, mask = _shrink(covered), _shrink(surface), _shrink(is_hand)
    scenery = backdrop.background(PICTURE_SIZE, rng) * rng.uniform(0.35, 1.1)
    picture = front + scenery * (1 - alpha[..., None])
    pixels = joints @ camera.T
    pixels = (pixels[:, :2] / pixels[:, 2:]).astype(np.float32)
    if rng.random() < _OCCLUDED_SHARE:
        colour, cover = backdrop.occluder(PICTURE_SIZE, pixels, scene.hand_pixels, rng)
        picture, mask = picture * (1 - cover[..., None]) + colour * cover[..., None], mask * (1 - cover)
    return _encode(scene, name, picture, mask, pixels, joints, camera, vertices[: len(hand.vertices)])


def _surface_colors(scene, hand, vertices, rng):
    skin = hand.colors * scene.skin
    mottle = np.zeros(len(skin))
    for frequency in (60.0, 150.0, 300.0):
        mottle += np.sin(hand.vertices @ rng.normal(0, frequency, 3) + rng.uniform(0, 6.3)) / frequency
    skin = skin * (1 + rng.uniform(0, 2.0) * mottle[:, None])
    arm = np.tile(scene.skin * 0.95 if scene.sleeve is None else scene.sleeve, (len(vertices) - len(skin), 1))
    return np.concatenate([skin, arm])


def _shrink(array):
    return cv2.resize(array.astype(np.float32), (PICTURE_SIZE, PICTURE_SIZE), interpolation=cv2.INTER_AREA)


def _encode(scene, name, picture, mask, pixels, joints, camera, vertices):
    gamma = np.clip(picture, 0, 1) ** np.random.default_rng(scene.seed + 2).uniform(0.75, 1.3)
    _, image = cv2.imencode(".jpg", (gamma[..., ::-1] * 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 92])
    ones = np.ones(len(joints), np.float32)
    return Sample(
        dataset="synthetic", sample_id=name, image=image.tobytes(), width=PICTURE_SIZE, height=PICTURE_SIZE,
        side=RIGHT, joints_2d=pixels, joints_2d_weight=ones, joints_3d=joints.astype(np.float32),
        joints_3d_weight=ones, intrinsics=camera, mask=encode_mask(mask > 0.5), vertices=vertices.astype(np.float32),
        shape=scene.shape, pose=scene.pose, rotation=Rotation.from_rotvec(scene.rotation).as_matrix(),
    )  # fmt: skip
