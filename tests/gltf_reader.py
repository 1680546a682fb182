"""Reads a GLB by the rules of glTF 2.0, in float64 NumPy: nodes, skins and animations. Made for tests alone."""

import json
import struct
from types import SimpleNamespace

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

_TYPES = {5121: np.uint8, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}
_WIDTHS = {"SCALAR": (), "VEC2": (2,), "VEC3": (3,), "VEC4": (4,), "MAT4": (4, 4)}


def read(content: bytes):
    """The JSON description, a function that gives the array of an accessor, and one that gives the bytes of a view."""
    magic, version, length = struct.unpack_from("<III", content)
    assert (magic, version, length) == (0x46546C67, 2, len(content))
    size, kind = struct.unpack_from("<II", content, 12)
    assert kind == 0x4E4F534A and size % 4 == 0
    document = json.loads(content[20 : 20 + size])
    binary_size, kind = struct.unpack_from("<II", content, 20 + size)
    binary = content[28 + size :]
    assert kind == 0x004E4942 and len(binary) == binary_size == document["buffers"][0]["byteLength"]

    def view(number):
        entry = document["bufferViews"][number]
        return binary[entry["byteOffset"] : entry["byteOffset"] + entry["byteLength"]]

    def array(number):
        entry = document["accessors"][number]
        shape = (entry["count"], *_WIDTHS[entry["type"]])
        values = np.frombuffer(view(entry["bufferView"]), _TYPES[entry["componentType"]], int(np.prod(shape)))
        assert document["bufferViews"][entry["bufferView"]]["byteOffset"] % 4 == 0
        values = values.reshape(shape)
        if "min" in entry:
            assert np.allclose(np.atleast_1d(values.min(axis=0)), entry["min"])
            assert np.allclose(np.atleast_1d(values.max(axis=0)), entry["max"])
        return values.astype(float) if values.dtype == np.float32 else values

    return SimpleNamespace(document=document, array=array, view=view)


def world_matrices(file, time=None):
    """Matrix [4, 4] of each node in the scene, at a time of the first animation or, for None, as the nodes say."""
    nodes = [dict(node) for node in file.document["nodes"]]
    if time is not None:
        animation = file.document["animations"][0]
        for channel in animation["channels"]:
            sampler, target = animation["samplers"][channel["sampler"]], channel["target"]
            assert sampler["interpolation"] == "LINEAR"
            nodes[target["node"]][target["path"]] = _between(
                file.array(sampler["input"]), file.array(sampler["output"]), time, target["path"]
            )
    world = {}

    def visit(index, parent):
        local = np.eye(4)
        local[:3, :3] = Rotation.from_quat(nodes[index].get("rotation", [0, 0, 0, 1])).as_matrix()
        local[:3, 3] = nodes[index].get("translation", [0, 0, 0])
        world[index] = parent @ local
        for child in nodes[index].get("children", []):
            visit(child, world[index])

    for root in file.document["scenes"][file.document["scene"]]["nodes"]:
        visit(root, np.eye(4))
    return world


def _between(times, values, time, path):
    time = np.clip(time, times[0], times[-1])
    if path == "rotation":
        return Slerp(times, Rotation.from_quat(values))(time).as_quat()
    return [np.interp(time, times, column) for column in values.T]


def joints(file, hand=0, time=None):
    """Places [16, 3] of a hand's joints, y up."""
    world = world_matrices(file, time)
    return np.stack([world[joint][:3, 3] for joint in file.document["skins"][hand]["joints"]])


def skinned(file, hand=0, time=None):
    """Vertices [W, 3] of a hand's mesh after skinning, y up."""
    skin = file.document["skins"][hand]
    attributes = file.document["meshes"][hand]["primitives"][0]["attributes"]
    rest, bones, weights = (file.array(attributes[name]) for name in ("POSITION", "JOINTS_0", "WEIGHTS_0"))
    world = world_matrices(file, time)
    inverse = file.array(skin["inverseBindMatrices"]).transpose(0, 2, 1)
    transforms = np.stack([world[joint] for joint in skin["joints"]]) @ inverse
    homogeneous = np.concatenate([rest, np.ones((len(rest), 1))], axis=1)
    return np.einsum("vk,vkrc,vc->vr", weights, transforms[bones], homogeneous)[:, :3]
