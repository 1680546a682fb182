import dataclasses

import numpy as np
import pytest
from scipy.spatial import cKDTree

from hiu_tf.conventions.skeleton import MODEL_JOINT_NAMES, MODEL_TO_KEYPOINTS, Joint
from hiu_tf.hand import anatomy, poses, rig
from hiu_tf.hand.layer import pose_hand
from hiu_tf.hand.model import HandModelError, load_hand_model, save_hand_model


def test_skin_is_closed_and_faces_look_outwards(hand):
    edges = np.concatenate([hand.faces[:, [0, 1]], hand.faces[:, [1, 2]], hand.faces[:, [2, 0]]])
    forward = {tuple(edge) for edge in edges}
    assert len(forward) == len(edges), "an edge is used twice in the same direction"
    assert all((b, a) in forward for a, b in forward), "the skin has a hole"
    a, b, c = (hand.vertices[hand.faces[:, k]] for k in range(3))
    volume = np.einsum("fc,fc->", a, np.cross(b, c)) / 6
    assert 2e-4 < volume < 6e-4  # an adult hand: 0.2 to 0.6 litres


def test_regressed_joints_are_those_of_the_anatomy(hand):
    joints, _ = rig.rest_joints()
    np.testing.assert_allclose(hand.joints, joints, atol=1e-4)
    shaped = np.einsum("jv,vcn->jcn", hand.joint_regressor, hand.shape_directions)
    np.testing.assert_allclose(shaped, rig.joint_displacements(), atol=1.5e-3)


def test_bone_lengths_are_the_published_means(hand):
    for name, finger in anatomy.FINGERS_MM.items():
        first = MODEL_JOINT_NAMES.index(f"{name}1")
        lengths = np.linalg.norm(np.diff(hand.joints[first : first + 3], axis=0), axis=1) * 1000
        np.testing.assert_allclose(lengths, finger.lengths[:2], atol=0.2)


def test_fingers_bend_towards_the_palm_and_the_thumb_stands_apart(hand):
    """Palm -y, fingers -x, thumb +z."""
    grasp = poses.gesture_pose("grasp").astype(np.float32)
    zeros = np.zeros((1, 3), np.float32)
    straight, bent = (
        pose_hand(hand, np.zeros((1, 10), np.float32), pose[None], zeros, zeros)["joints_3d"][0].numpy()
        for pose in (np.zeros((15, 3), np.float32), grasp)
    )
    for tip in (Joint.INDEX4, Joint.MIDDLE4, Joint.RING4, Joint.LITTLE4):
        assert bent[tip, 1] < straight[tip, 1] - 0.02
        assert np.linalg.norm(bent[tip] - bent[0]) < 0.75 * np.linalg.norm(straight[tip] - straight[0])
    assert straight[Joint.THUMB4, 2] > straight[Joint.INDEX4, 2] + 0.02


def crossings(vertices, faces):
    """Number of edges that pierce a face with which they share no vertex."""
    corners = vertices[faces].astype(np.float64)
    centres = corners.mean(axis=1)
    radius = np.linalg.norm(corners - centres[:, None], axis=-1).max(axis=1)
    pairs = cKDTree(centres).query_pairs(2 * radius.max(), output_type="ndarray")
    pairs = pairs[np.linalg.norm(centres[pairs[:, 0]] - centres[pairs[:, 1]], axis=1) < radius[pairs].sum(axis=1)]
    pairs = np.concatenate([pairs, pairs[:, ::-1]])
    pairs = pairs[~(faces[pairs[:, 0]][:, :, None] == faces[pairs[:, 1]][:, None]).any(axis=(1, 2))]
    a, b, c = np.moveaxis(corners[pairs[:, 1]], 1, 0)
    normal = np.cross(b - a, c - a)
    count = 0
    for k in range(3):  # Moeller and Trumbore's test of each edge of the first face with the second face
        start, end = corners[pairs[:, 0], k], corners[pairs[:, 0], (k + 1) % 3]
        rise = np.einsum("nc,nc->n", normal, end - start)
        t = np.einsum("nc,nc->n", normal, a - start) / np.where(rise == 0, np.inf, rise)
        hit = start + t[:, None] * (end - start)
        sides = [np.einsum("nc,nc->n", np.cross(q - p, hit - p), normal) for p, q in ((a, b), (b, c), (c, a))]
        count += int(np.sum((t > 0) & (t < 1) & (np.min(sides, axis=0) > 0)))
    return count


def test_the_skin_does_not_cut_itself_at_rest(hand):
    assert crossings(hand.vertices, hand.faces) == 0
    pressed = hand.vertices * np.array([1, 1, 0.05], np.float32)
    pressed[: len(pressed) // 2, 1] *= -1  # the check itself finds what it looks for
    assert crossings(pressed, hand.faces) > 0


def test_faces_stay_outside_in_natural_poses(hand):
    """In 1,000 sampled poses, less than 1% of the faces flip their orientation relative to their bones."""
    generator = np.random.default_rng(8)
    pose = np.stack([poses.sample_pose(generator) for _ in range(1000)]).astype(np.float32)
    rest = np.cross(*(hand.vertices[hand.faces[:, k]] - hand.vertices[hand.faces[:, 0]] for k in (1, 2)))
    weights = hand.weights[hand.faces].mean(axis=1)
    flipped = []
    for part in np.split(pose, 10):
        zeros = np.zeros((100, 10), np.float32)
        posed = pose_hand(hand, zeros, part, zeros[:, :3], zeros[:, :3], bone_transforms=True)
        vertices = posed["vertices"].numpy()
        normals = np.cross(*(vertices[:, hand.faces[:, k]] - vertices[:, hand.faces[:, 0]] for k in (1, 2)))
        blended = np.einsum("fj,bjrc->bfrc", weights, posed["bone_transforms"].numpy()[:, :, :3, :3])
        expected = np.einsum("bfrc,fc->bfr", blended, rest)
        flipped.append(np.mean(np.einsum("bfr,bfr->bf", normals, expected) < 0))
    assert np.mean(flipped) < 0.01


def test_bent_fingers_keep_their_volume(hand):
    """Pose blend shapes restore the volume lost by linear skinning: all gestures within 2% of the volume at rest."""
    linear = dataclasses.replace(hand, pose_directions=np.zeros_like(hand.pose_directions))

    def volume(model, gesture):
        zeros = np.zeros((1, 10), np.float32)
        pose = poses.gesture_pose(gesture)[None].astype(np.float32)
        vertices = pose_hand(model, zeros, pose, zeros[:, :3], zeros[:, :3])["vertices"].numpy()[0]
        a, b, c = (vertices[model.faces[:, k]] for k in range(3))
        return np.einsum("fc,fc->", a, np.cross(b, c)) / 6

    rest = volume(hand, "flat")
    for gesture in poses.GESTURES:
        assert abs(volume(hand, gesture) / rest - 1) < 0.02, gesture
    assert volume(linear, "fist") / rest < 0.95


def test_shape_directions_are_independent(hand):
    matrix = hand.shape_directions.reshape(-1, 10).astype(np.float64)
    singular = np.linalg.svd(matrix / np.linalg.norm(matrix, axis=0), compute_uv=False)
    assert singular[-1] > 0.1, "one direction is nearly a mixture of the others"


@pytest.mark.parametrize("name", ("fist", "point", "horns"))
def test_the_thumb_lies_over_the_curled_fingers(hand, name):
    zeros = np.zeros((1, 10), np.float32)
    joints = pose_hand(hand, zeros, poses.gesture_pose(name)[None].astype(np.float32), zeros[:, :3], zeros[:, :3])
    tip, middle, ring = (joints["joints_3d"][0].numpy()[i] for i in (Joint.THUMB4, Joint.MIDDLE3, Joint.RING2))
    assert np.linalg.norm(tip - (middle + ring) / 2) < 0.045


def test_pinching_fingers_meet(hand):
    zeros = np.zeros((1, 10), np.float32)
    for name in ("pinch", "ok"):
        joints = pose_hand(hand, zeros, poses.gesture_pose(name)[None].astype(np.float32), zeros[:, :3], zeros[:, :3])
        tips = joints["joints_3d"][0].numpy()[[Joint.THUMB4, Joint.INDEX4]]
        assert np.linalg.norm(tips[0] - tips[1]) < 0.015


def test_sampled_poses_obey_the_limits():
    generator = np.random.default_rng(5)
    for _ in range(200):
        pose = poses.sample_pose(generator)
        for finger in anatomy.FINGERS_MM:
            kind = "thumb" if finger == "thumb" else "finger"
            first = MODEL_JOINT_NAMES.index(f"{finger}1") - 1
            angles = np.rad2deg(pose[first : first + 3] @ anatomy.joint_axes(finger).T)
            limits = np.array(anatomy.LIMITS_DEG[kind], float)
            assert (angles >= limits[..., 0] - 1e-6).all()
            assert (angles <= limits[..., 1] + 1e-6).all()


def test_keypoint_order_is_a_permutation():
    assert sorted(MODEL_TO_KEYPOINTS) == list(range(21))


def test_save_and_load(hand, tmp_path):
    save_hand_model(tmp_path / "hand.npz", hand)
    again = load_hand_model(tmp_path / "hand.npz")
    for field in dataclasses.fields(hand):
        np.testing.assert_array_equal(getattr(hand, field.name), getattr(again, field.name))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": lambda w: w * 1.1}, "sum to 1"),
        ({"faces": lambda f: f + 10000}, "do not exist"),
        ({"vertices": lambda v: v[:-1]}, "shape"),
        ({"pose_mean": lambda m: m * np.nan}, "not finite"),
    ],
)
def test_broken_models_are_refused(hand, change, message):
    ((name, spoil),) = change.items()
    with pytest.raises(HandModelError, match=message):
        dataclasses.replace(hand, **{name: spoil(getattr(hand, name))})


def test_missing_file_is_one_clear_error(tmp_path):
    with pytest.raises(HandModelError, match="cannot read"):
        load_hand_model(tmp_path / "none.npz")
