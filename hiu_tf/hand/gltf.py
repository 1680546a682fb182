"""Writes a posed hand as a GLB file with its skeleton, so that Blender and three.js show it posed and can bend it.

Needs `pip install hiu-tf[mesh]` (pygltflib).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from hiu_tf.atomic import written_whole
from hiu_tf.conventions.skeleton import MODEL_JOINT_NAMES, MODEL_PARENTS, NUM_MODEL_JOINTS
from hiu_tf.errors import UserError
from hiu_tf.geometry.mesh import vertex_normals
from hiu_tf.hand.anatomy import SKIN_COLOR
from hiu_tf.hand.model import HandModel

#: Maximum number of bones per vertex in glTF.
_INFLUENCES = 4


def write_glb(path: str | Path, hand: HandModel, shape, pose, rotation, translation) -> None:
    """Writes one hand as a skinned mesh with vertex colours.

    glTF has y up and z towards the viewer; a root node rotates our camera frame (y down, z forward) to
    it. glTF has only linear skinning: the pose blend shapes, which preserve the volume of the knuckles, are
    left out (at most a few millimetres), and a vertex keeps its four strongest bones.

    Args:
      path: the .glb to write.
      hand: the model.
      shape, pose, rotation, translation: beta [10], theta [15, 3], R [3], T [3] of one hand.

    Raises:
      UserError: a parameter has the wrong shape, or pygltflib is not installed.
    """
    try:
        import pygltflib as gltf
    except ImportError as error:
        raise UserError("GLB files need pygltflib: pip install hiu-tf[mesh]") from error
    shape, pose, rotation, translation = (
        _checked(*item) for item in (("shape", shape, (10,)), ("pose", pose, (15, 3)), ("rotation", rotation, (3,)), ("translation", translation, (3,)))
    )  # fmt: skip
    vertices = hand.vertices + hand.shape_directions @ shape
    joints = hand.joint_regressor @ vertices
    arrays = _arrays(hand, vertices, joints)
    document = gltf.GLTF2(
        scene=0,
        scenes=[gltf.Scene(nodes=[0])],
        nodes=_nodes(gltf, joints, pose, rotation, translation),
        skins=[gltf.Skin(joints=list(range(2, 2 + NUM_MODEL_JOINTS)), skeleton=2, inverseBindMatrices=5)],
        meshes=[gltf.Mesh(name=hand.name, primitives=[_primitive(gltf)])],
        materials=[gltf.Material(name="skin", doubleSided=True, pbrMetallicRoughness=_skin(gltf))],
        asset=gltf.Asset(generator="hiu-tf", copyright=hand.licence),
    )
    _add_arrays(gltf, document, arrays)
    with written_whole(path) as scratch:
        document.save_binary(str(scratch))


def _checked(name, value, shape):
    value = np.asarray(value, np.float32)
    if value.shape != shape or not np.all(np.isfinite(value)):
        raise UserError(f"{name} must be finite numbers of shape {shape}, got shape {value.shape}")
    return value


def _arrays(hand, vertices, joints):
    """Arrays of the file in the order of its accessors: (values, kind)."""
    strongest = np.argsort(-hand.weights, axis=1)[:, :_INFLUENCES]
    weights = np.take_along_axis(hand.weights, strongest, axis=1)
    normals = vertex_normals(vertices, hand.faces)
    bind = np.tile(np.eye(4, dtype=np.float32), (NUM_MODEL_JOINTS, 1, 1))
    bind[:, 3, :3] = -joints  # column-major, as in glTF
    return [
        (hand.faces.reshape(-1).astype(np.uint16), "SCALAR"),
        (vertices.astype(np.float32), "VEC3"),
        (normals.astype(np.float32), "VEC3"),
        (strongest.astype(np.uint8), "VEC4"),
        ((weights / weights.sum(axis=1, keepdims=True)).astype(np.float32), "VEC4"),
        (bind, "MAT4"),
        (hand.colors.astype(np.float32), "VEC3"),
    ]


def _primitive(gltf):
    attributes = gltf.Attributes(POSITION=1, NORMAL=2, JOINTS_0=3, WEIGHTS_0=4, COLOR_0=6)
    return gltf.Primitive(attributes=attributes, indices=0, material=0)


def _skin(gltf):
    return gltf.PbrMetallicRoughness(
        baseColorFactor=[*SKIN_COLOR.tolist(), 1.0], metallicFactor=0.0, roughnessFactor=0.7
    )


def _nodes(gltf, joints, pose, rotation, translation):
    """Nodes: 0 rotates the axes, 1 holds the mesh, 2... are the joints with rotations relative to their parents."""
    turns = Rotation.from_rotvec(np.concatenate([rotation[np.newaxis], pose])).as_quat()  # x, y, z, w as in glTF
    offsets = joints - np.where(MODEL_PARENTS[:, np.newaxis] < 0, -translation, joints[MODEL_PARENTS])
    nodes = [
        gltf.Node(name="camera frame", rotation=[1.0, 0.0, 0.0, 0.0], children=[1, 2]),
        gltf.Node(name="hand", mesh=0, skin=0),
    ]
    for j, name in enumerate(MODEL_JOINT_NAMES):
        children = [2 + int(k) for k in np.flatnonzero(j == MODEL_PARENTS)]
        nodes.append(
            gltf.Node(name=name, translation=offsets[j].tolist(), rotation=turns[j].tolist(), children=children)
        )
    return nodes


def _add_arrays(gltf, document, arrays):
    """Adds one buffer, with a view and an accessor per array."""
    kinds = {np.dtype(np.uint8): gltf.UNSIGNED_BYTE, np.dtype(np.uint16): gltf.UNSIGNED_SHORT, np.dtype(np.float32): gltf.FLOAT}  # fmt: skip
    content = b""
    for number, (values, kind) in enumerate(arrays):
        data = np.ascontiguousarray(values).tobytes()
        target = None if kind == "MAT4" else gltf.ELEMENT_ARRAY_BUFFER if number == 0 else gltf.ARRAY_BUFFER
        document.bufferViews.append(
            gltf.BufferView(buffer=0, byteOffset=len(content), byteLength=len(data), target=target)
        )
        accessor = gltf.Accessor(bufferView=number, componentType=kinds[values.dtype], count=len(values), type=kind)
        if number == 1:  # glTF requires the bounds of positions
            accessor.min, accessor.max = values.min(axis=0).tolist(), values.max(axis=0).tolist()
        document.accessors.append(accessor)
        content += data + b"\0" * (-len(data) % 4)
    document.buffers.append(gltf.Buffer(byteLength=len(content)))
    document.set_binary_blob(content)
