"""All windows agree: NumPy, its TensorFlow twin, the pipeline's transformation of labels, and the inverse mappings."""

import math

import numpy as np
import pytest
import tensorflow as tf

from hiu_tf.conventions import keys
from hiu_tf.conventions.skeleton import NUM_JOINTS, Joint
from hiu_tf.geometry.camera import project, virtual_intrinsics
from hiu_tf.geometry.tensor import window as twin
from hiu_tf.geometry.window import MIN_SIDE, SCALE, Window, around_box, around_hand, box_of
from pipelines.crop import AFFINE, place
from pipelines.schema import LEFT, RIGHT

SIZE = 160


def random_windows(rng, count):
    for _ in range(count):
        box = (*rng.uniform(-50, 500, 2), *rng.uniform(30, 400, 2))
        yield box, around_box(box, SIZE, bool(rng.random() < 0.5), rng.uniform(-4, 4))


def test_box_to_window_closed_form():
    """The window of the box (100, 50, 80, 60) has the centre (140, 80) and a side of SCALE times the longer side."""
    window = around_box((100, 50, 80, 60), SIZE)
    assert (window.centre, window.side) == ((140, 80), SCALE * 80)
    np.testing.assert_allclose(window.to_crop(np.array([140.0, 80.0])), [(SIZE - 1) / 2] * 2)
    assert around_box((1, 1, 0, 1), SIZE).side == SCALE * MIN_SIDE
    assert box_of(np.array([[10.0, 20], [49, 49]])) == (10, 20, 39, 29)


def test_there_and_back(rng):
    for _, window in random_windows(rng, 50):
        points = rng.uniform(0, SIZE, (10, 2))
        np.testing.assert_allclose(window.to_crop(window.to_picture(points)), points, atol=1e-9)


def test_mirroring_twice_is_the_identity(rng):
    """A mirrored window of the mirrored picture is the plain window of the picture."""
    width = 640
    for _, window in random_windows(rng, 20):
        points = rng.uniform(0, 500, (10, 2))
        (x, y), mirror = window.centre, np.array([-1.0, 1.0])
        other = Window((width - 1 - x, y), window.side, SIZE, not window.mirrored, window.angle)
        np.testing.assert_allclose(window.to_crop(points), other.to_crop([width - 1, 0] + mirror * points), atol=1e-9)


def test_the_other_side_is_the_mirror_image(rng):
    """The same square, as a mirror image of the crop; the other side's other side is the window itself."""
    for _ in range(20):
        window = Window(
            tuple(rng.uniform(20, 200, 2)), rng.uniform(20, 90), 128, bool(rng.integers(2)), rng.uniform(-3, 3)
        )
        points = rng.uniform(0, 200, (5, 2))
        mirrored = window.to_crop(points) * [-1, 1] + [127, 0]
        np.testing.assert_allclose(window.other_side().to_crop(points), mirrored, atol=1e-9)
        assert window.other_side().other_side() == window


def test_the_twin_agrees(rng):
    """Random boxes, angles and sides: 6e-4 px, what float32 leaves of coordinates of hundreds of pixels."""
    boxes, windows = zip(*random_windows(rng, 300))
    centre, side = twin.around_boxes(tf.constant(boxes, tf.float32))
    angle = tf.constant([w.angle for w in windows], tf.float32)
    mirrored = tf.constant([w.mirrored for w in windows])
    affine = twin.similarity(centre, side, angle, mirrored, SIZE).numpy().astype(float)
    for k, window in enumerate(windows):
        near = window.to_picture(rng.uniform(0, SIZE - 1, (5, 2))) - window.centre
        found = near @ affine[k, :2, :2].T + affine[k, :2, :2] @ window.centre + affine[k, :2, 2]
        np.testing.assert_allclose(found, window.to_crop(near + window.centre), atol=6e-4)
        np.testing.assert_allclose(centre[k], window.centre, rtol=1e-6)
        np.testing.assert_allclose(side[k], window.side, rtol=1e-6)


def records(rng, count):
    """Hands seen by a real camera, in the pipeline's format."""
    joints = rng.normal(0, 0.05, (count, NUM_JOINTS, 3)) + [0.1, -0.05, 0.7]
    camera = np.array([[500.0, 0, 300], [0, 500, 220], [0, 0, 1]])
    ones = tf.ones([count, NUM_JOINTS])
    return (
        {
            keys.JOINTS_2D: tf.constant(project(joints, camera), tf.float32),
            keys.JOINTS_2D_WEIGHT: ones,
            keys.JOINTS_3D: tf.constant(joints, tf.float32),
            keys.JOINTS_3D_WEIGHT: ones,
            keys.INTRINSICS: tf.constant(np.tile(camera, (count, 1, 1)), tf.float32),
            keys.BOX: tf.zeros([count, 4]),
            keys.SIDE: tf.constant([RIGHT, LEFT] * (count // 2)),
            keys.NO_HAND: tf.zeros(count),
            keys.PICTURE_SIZE: tf.constant([[440, 600]] * count, tf.int64),
        },
        joints,
        camera,
    )


def test_the_pipeline_cuts_the_same_window_and_3d_comes_back(rng):
    """Evaluation and runtime cut the same crop; the runtime's inverse undoes the pipeline's change of 3D labels."""
    batch, joints, camera = records(rng, 6)
    placed = place(batch, SIZE)
    for k in range(6):
        window = around_box(box_of(batch[keys.JOINTS_2D][k].numpy()), SIZE, mirrored=bool(k % 2))
        np.testing.assert_allclose(placed[AFFINE][k, :2], window.affine, rtol=1e-4, atol=1e-3)
        back = placed[keys.JOINTS_3D][k].numpy() @ window.rotation_to_camera(camera).T
        np.testing.assert_allclose(back, joints[k], atol=1e-5)


def test_3d_of_turned_and_mirrored_windows(rng):
    """The virtual and the real camera project to the same pixels; the inverse preserves the hand's shape."""
    camera = np.array([[500.0, 0, 300], [0, 500, 220], [0, 0, 1]])
    hand = rng.normal(0, 0.03, (NUM_JOINTS, 3)) + [0, 0, 0.6]
    for _, window in random_windows(rng, 20):
        real = window.to_camera(hand, hand[0], camera)
        wrist = window.to_picture(project(hand[0], virtual_intrinsics(SIZE)))
        np.testing.assert_allclose(project(real[0], camera), wrist, atol=1e-3)
        lengths = [np.linalg.norm(points - points[0], axis=1) for points in (hand, real)]
        np.testing.assert_allclose(*lengths, atol=1e-9)
        handed = np.linalg.det(window.rotation_to_camera(camera))
        assert handed == pytest.approx(-1.0 if window.mirrored else 1.0)


@pytest.mark.parametrize(
    ("mirrored", "angle", "axes"),
    [
        (False, 0.0, [[0.8, 0, -0.6], [0, 1, 0], [0.6, 0, 0.8]]),
        (True, 0.0, [[-0.8, 0, 0.6], [0, 1, 0], [0.6, 0, 0.8]]),
        (False, math.pi / 2, [[0, -1, 0], [0.8, 0, -0.6], [0.6, 0, 0.8]]),
        (True, math.pi / 2, [[0, -1, 0], [-0.8, 0, 0.6], [0.6, 0, 0.8]]),
    ],
)
def test_the_way_back_to_the_camera_closed_form(mirrored, angle, axes):
    """Focal length 400; the window's centre lies 300 px right of the principal point: the ray (0.75, 0, 1).

    Its direction is (0.6, 0, 0.8), and `axes` are the crop's x, y and z as the camera sees them. The window is 128 px
    wide, the crop 64, so that the virtual camera's focal length of 32 / tan(12.6 degrees) is 64 / tan(12.6 degrees) of
    the picture.
    """
    K = np.array([[400.0, 0, 320], [0, 400, 240], [0, 0, 1]])
    window = Window((620.0, 240.0), 128.0, 64, mirrored, angle)
    depth = 0.6 * 400 / 64 * math.tan(math.radians(12.6))
    wrist = np.array([0, 0, 0.6])
    found = window.to_camera(np.concatenate([wrist[np.newaxis], wrist + 0.1 * np.eye(3)]), wrist, K)
    root = np.array([0.75 * depth, 0, depth])
    np.testing.assert_allclose(found[0], root, atol=1e-7)
    np.testing.assert_allclose(found[1:] - found[0], 0.1 * np.array(axes), atol=1e-9)


def test_a_wrist_beside_the_middle_keeps_its_pixel():
    """A tenth of the depth right of the axis: 2 * 32 / tan(12.6 degrees) / 10 px beside the window's centre."""
    K = np.array([[400.0, 0, 320], [0, 500, 240], [0, 0, 1]])
    wrist = np.array([0.06, 0.03, 0.6])
    found = Window((620.0, 190.0), 128.0, 64).to_camera(wrist[np.newaxis], wrist, K)[0]
    aside = 64 / math.tan(math.radians(12.6)) / 10
    depth = 0.6 * 400 / 64 * math.tan(math.radians(12.6))
    np.testing.assert_allclose(found, np.array([(300 + aside) / 400, (-50 + aside / 2) / 500, 1]) * depth, rtol=1e-6)


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_hand_is_turned_upright_into_the_middle(rng, mirrored):
    """From any window: wrist below the middle finger, tight box in the middle with 1 / SCALE of the side."""
    for _ in range(20):
        joints = rng.uniform(0, 80, (NUM_JOINTS, 2)) + [200, 100]
        first = around_box(box_of(joints), SIZE, mirrored, rng.uniform(-3, 3))
        found = around_hand(joints, first).to_crop(joints)
        across, up = found[Joint.MIDDLE1] - found[Joint.WRIST]
        assert abs(across) < 1e-6 and up < 0
        x, y, width, height = box_of(found)
        np.testing.assert_allclose([x + width / 2, y + height / 2], (SIZE - 1) / 2, atol=1e-6)
        assert max(width, height) == pytest.approx(SIZE / SCALE)


def test_an_upright_hand_stays(rng):
    joints = rng.uniform(0, 80, (NUM_JOINTS, 2))
    joints[Joint.WRIST], joints[Joint.MIDDLE1] = (40, 90), (40, 50)
    plain = around_box(box_of(joints), SIZE)
    found = around_hand(joints, plain)
    assert math.remainder(found.angle, 2 * math.pi) == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(found.affine, plain.affine, atol=1e-9)
