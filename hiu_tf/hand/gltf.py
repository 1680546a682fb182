"""Hands as GLB files (glTF 2.0): skin, skeleton, texture, and movement for hands of a clip.

Blender and three.js show them posed, play them, and can bend them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hiu_tf.atomic import written_whole
from hiu_tf.conventions.skeleton import MODEL_JOINT_NAMES, MODEL_PARENTS, NUM_MODEL_JOINTS
from hiu_tf.errors import UserError
from hiu_tf.geometry.mesh import vertex_normals
from hiu_tf.geometry.rotation import quaternion
from hiu_tf.hand.anatomy import SKIN_COLOR
from hiu_tf.hand.atlas import atlas_of, skin_picture
from hiu_tf.hand.glb import INDICES, VERTICES, Glb
from hiu_tf.hand.model import NUM_SHAPE, HandModel

#: Maximum number of bones per vertex in glTF.
_INFLUENCES = 4
_LINEAR, _MIPMAPS, _CLAMP = 9729, 9987, 33071


@dataclass(frozen=True)
class SkinnedHand:
    """A hand of a GLB file, posed once or in T key frames. Metres, radians, our camera frame (y down, z forward).

    Attributes:
      model: the hand model, a right or a left one.
      shape: beta [10], the same in all key frames.
      turns: [T, 16, 4] unit quaternions (x, y, z, w) of R and of the 15 rows of theta; neighbours have the same sign.
      translation: T [T, 3].
      times: [T] seconds, ascending.
      name: of the mesh in the file.
    """

    model: HandModel
    shape: np.ndarray
    turns: np.ndarray
    translation: np.ndarray
    times: np.ndarray
    name: str


def posed_once(model: HandModel, shape, pose, rotation, translation, name: str = "hand") -> SkinnedHand:
    """A hand that does not move: beta [10], theta [15, 3], R [3] (axis-angle), T [3].

    Raises:
      UserError: a parameter has the wrong shape or is not finite.
    """
    wanted = {"shape": (NUM_SHAPE,), "pose": (15, 3), "rotation": (3,), "translation": (3,)}
    values = dict(zip(wanted, (np.asarray(value, float) for value in (shape, pose, rotation, translation))))
    for key, value in values.items():
        if value.shape != wanted[key] or not np.all(np.isfinite(value)):
            raise UserError(f"{key} must be finite numbers of shape {wanted[key]}, got shape {value.shape}")
    turns = quaternion(np.concatenate([values["rotation"][np.newaxis], values["pose"]]))
    return SkinnedHand(model, values["shape"], turns[np.newaxis], values["translation"][np.newaxis], np.zeros(1), name)


def write_glb(path: str | Path, hand: HandModel, shape, pose, rotation, translation) -> None:
    """Writes one hand that does not move; arguments and errors are those of `posed_once`."""
    content = glb_bytes([posed_once(hand, shape, pose, rotation, translation)])
    with written_whole(path) as scratch:
        scratch.write_bytes(content)


def glb_bytes(hands: Sequence[SkinnedHand]) -> bytes:
    """The content of a .glb file with these hands.

    glTF has y up and z towards the viewer; a root node rotates our camera frame to it. A mesh that has an atlas
    (hand/atlas.py) has the default skin as texture, another one its vertex colours. Skinning is linear: a vertex keeps
    its four strongest bones, and pose blend shapes, which preserve the volume of bent joints, are left out.
    """
    root = {"name": "camera frame", "rotation": [1.0, 0.0, 0.0, 0.0], "children": []}
    file = Glb(
        {
            "asset": {
                "version": "2.0",
                "generator": "hiu-tf",
                "copyright": "; ".join({h.model.licence for h in hands}),
            },
            "scene": 0,
            "scenes": [{"nodes": [0]}],
            "nodes": [root],
            "meshes": [],
            "skins": [],
            "materials": [],
        }
    )
    for hand in hands:
        _add_hand(file, hand)
    if not hands:
        del root["children"]
    return file.to_bytes()


def _add_hand(file, hand):
    document = file.document
    vertices = hand.model.vertices + hand.model.shape_directions @ hand.shape
    joints = hand.model.joint_regressor @ vertices
    first = len(document["nodes"]) + 1  # the joints follow the mesh's node
    number = len(document["meshes"])
    # A node with a skin takes its place from the joints alone: glTF wants it at the top.
    document["scenes"][0]["nodes"].append(first - 1)
    document["nodes"].append({"name": hand.name, "mesh": number, "skin": number})
    document["nodes"][0]["children"].append(first)
    document["nodes"] += _joint_nodes(hand, joints, first)
    document["skins"].append(_skin(file, joints, first))
    document["meshes"].append({"name": hand.name, "primitives": [_primitive(file, hand.model, vertices)]})
    if len(hand.times) > 1:
        document.setdefault("animations", []).append(_animation(file, hand, joints, first))


def _joint_nodes(hand, joints, first):
    """The joints in the first key frame, each relative to its parent."""
    offsets = joints - np.where(MODEL_PARENTS[:, np.newaxis] < 0, -hand.translation[0], joints[MODEL_PARENTS])
    nodes = []
    for j, name in enumerate(MODEL_JOINT_NAMES):
        node = {"name": name, "translation": offsets[j].tolist(), "rotation": hand.turns[0, j].tolist()}
        children = [first + int(k) for k in np.flatnonzero(j == MODEL_PARENTS)]
        nodes.append(node | ({"children": children} if children else {}))
    return nodes


def _skin(file, joints, first):
    bind = np.tile(np.eye(4, dtype=np.float32), (NUM_MODEL_JOINTS, 1, 1))
    bind[:, 3, :3] = -joints  # column-major, as in glTF
    return {
        "joints": list(range(first, first + NUM_MODEL_JOINTS)),
        "skeleton": first,
        "inverseBindMatrices": file.array(bind),
    }


def _primitive(file, model, vertices):
    atlas = atlas_of(model)
    source, faces = (np.arange(len(vertices)), model.faces) if atlas is None else (atlas.source, atlas.faces)
    bones, weights = four_bones(model.weights)
    arrays = {
        "POSITION": vertices,
        "NORMAL": vertex_normals(vertices, model.faces),
        "JOINTS_0": bones,
        "WEIGHTS_0": weights,
    }
    if atlas is None:
        arrays["COLOR_0"] = _linear(model.colors)
    arrays = {name: values[source] for name, values in arrays.items()}
    if atlas is not None:
        arrays["TEXCOORD_0"] = atlas.uv
    attributes = {
        name: file.array(values if name == "JOINTS_0" else values.astype(np.float32), VERTICES, name == "POSITION")
        for name, values in arrays.items()
    }
    width = np.uint16 if len(source) < 65535 else np.uint32
    indices = file.array(faces.reshape(-1).astype(width), INDICES)
    return {"attributes": attributes, "indices": indices, "material": _material(file, atlas is not None)}


def four_bones(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The strongest four bones of each vertex: numbers [V, 4] uint8, weights [V, 4] that sum to 1."""
    bones = np.argsort(-weights, axis=1, kind="stable")[:, :_INFLUENCES]
    kept = np.take_along_axis(weights, bones, axis=1).astype(float)
    return np.where(kept > 0, bones, 0).astype(np.uint8), kept / kept.sum(axis=1, keepdims=True)


def _material(file, textured):
    """The number of the file's material; all hands of a file share the textured one and the plain one."""
    name = "skin" if textured else "plain skin"
    names = [material["name"] for material in file.document["materials"]]
    if name not in names:
        surface = {"metallicFactor": 0.0, "roughnessFactor": 0.7}
        if textured:
            sampler = {"magFilter": _LINEAR, "minFilter": _MIPMAPS, "wrapS": _CLAMP, "wrapT": _CLAMP}
            file.document["samplers"] = [sampler]
            file.document["textures"] = [{"source": file.picture(skin_picture()), "sampler": 0}]
            surface["baseColorTexture"] = {"index": 0}
        else:
            surface["baseColorFactor"] = [*_linear(SKIN_COLOR).tolist(), 1.0]
        file.document["materials"].append({"name": name, "doubleSided": True, "pbrMetallicRoughness": surface})
        names.append(name)
    return names.index(name)


def _linear(colour):
    """Colours of a screen -> light: glTF's factors and vertex colours are linear, its pictures are not."""
    return np.asarray(colour, float) ** 2.2


def _animation(file, hand, joints, first):
    """Rotations of all joints and the wrist's place, in every key frame; between them glTF interpolates."""
    times = file.array(hand.times.astype(np.float32), bounds=True)
    tracks = [(first + j, "rotation", hand.turns[:, j]) for j in range(NUM_MODEL_JOINTS)]
    tracks.append((first, "translation", joints[0] + hand.translation))
    samplers, channels = [], []
    for node, path, values in tracks:
        channels.append({"sampler": len(samplers), "target": {"node": node, "path": path}})
        output = file.array(np.asarray(values, np.float32))
        samplers.append({"input": times, "output": output, "interpolation": "LINEAR"})
    return {"name": hand.name, "samplers": samplers, "channels": channels}
