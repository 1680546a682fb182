"""Tests of both rasterisers, and of the silhouette's gradient."""

import numpy as np
import pytest
import tensorflow as tf

from hiu_tf.geometry.camera import virtual_intrinsics
from hiu_tf.geometry.mesh import close_holes, covered
from hiu_tf.geometry.tensor.camera import project
from hiu_tf.hand.layer import pose_hand
from hiu_tf.hand.poses import sample_pose
from hiu_tf.programs.timed.render import splat_silhouette
from hiu_tf.render import splat as splat_module
from hiu_tf.render.kernel import rasterizer_backend
from hiu_tf.render.rasterizer import nearest_surface, rasterize
from hiu_tf.render.silhouette import mask_pyramid, silhouette
from hiu_tf.render.splat import splat

SIZE = 96
needs_kernel = pytest.mark.skipif(rasterizer_backend() is None, reason="no C++ compiler")
BACKENDS = [pytest.param("kernel", marks=needs_kernel), "tensor"]


@pytest.fixture(scope="module")
def posed(hand):
    generator = np.random.default_rng(2)
    pose = np.stack([sample_pose(generator) for _ in range(3)]).astype(np.float32)
    rotation = generator.normal(size=(3, 3)).astype(np.float32)
    translation = np.tile(np.float32([0, 0.03, 0.6]), (3, 1))
    return pose_hand(hand, np.zeros((3, 10), np.float32), pose, rotation, translation)["vertices"]


def square(size=SIZE):
    """Two triangles that cover pixels 20..39 x 30..49, one metre away."""
    corners = np.float32([[19.5, 29.5], [39.5, 29.5], [39.5, 49.5], [19.5, 49.5]])
    return tf.constant(corners[None]), tf.ones([1, 4]), np.int32([[0, 1, 2], [0, 2, 3]])


@pytest.mark.parametrize("backend", BACKENDS)
class TestRasterizer:
    def test_square_covers_its_pixels(self, backend):
        buffer = rasterize(*square(), SIZE, backend)
        expected = np.zeros((SIZE, SIZE))
        expected[30:50, 20:40] = 1
        np.testing.assert_array_equal(buffer.foreground_mask[0, ..., 0], expected)

    def test_barycentrics_interpolate_position(self, backend):
        points, depth, faces = square()
        buffer = rasterize(points, depth, faces, SIZE, backend)
        weights, ids = buffer.barycentrics.value[0, 35, 25].numpy(), buffer.vertex_ids[0, 35, 25].numpy()
        np.testing.assert_allclose(weights @ points.numpy()[0][ids], [25, 35], atol=1e-2)

    def test_nearer_surface_wins(self, backend):
        points, _, faces = square()
        both = tf.concat([points, points], axis=1)
        depth = tf.constant([[1.0] * 4 + [0.5] * 4])
        buffer = rasterize(both, depth, np.concatenate([faces, faces + 4]), SIZE, backend)
        assert set(np.unique(buffer.triangle_id[0, 30:50, 20:40])) <= {2, 3}

    def test_nothing_outside_behind_or_not_finite(self, backend):
        points, depth, faces = square()
        for broken_points, broken_depth in (
            (points + 1000, depth),
            (points, -depth),
            (points * np.nan, depth),
            (points, depth * np.nan),
        ):
            buffer = rasterize(broken_points, broken_depth, faces, SIZE, backend)
            assert not buffer.foreground_mask.numpy().any()


@needs_kernel
def test_kernel_and_tensor_agree(hand, posed):
    points = project(posed, virtual_intrinsics(SIZE))
    kernel, tensor = (rasterize(points, posed[..., 2], hand.faces, SIZE, backend) for backend in ("kernel", "tensor"))
    assert np.mean(kernel.foreground_mask != tensor.foreground_mask) < 1e-3
    both = (kernel.foreground_mask * tensor.foreground_mask)[..., 0].numpy() > 0
    assert np.mean((kernel.triangle_id != tensor.triangle_id).numpy()[..., 0][both]) < 1e-2


@needs_kernel
def test_the_splat_in_c_equals_its_twin(hand, posed):
    """Values and gradients, of the same surface; at the picture's edge too."""
    assert splat_module._operations() is not None
    vertices = posed + [[[0.0, 0.0, 0.0]], [[0.12, 0.0, 0.0]], [[0.0, -0.1, -0.3]]]
    points, faces = project(vertices, virtual_intrinsics(SIZE)), tf.constant(hand.faces)
    surface = nearest_surface(points, vertices[..., 2], faces, SIZE)
    upstream = tf.random.stateless_normal([3, SIZE, SIZE], [1, 2])
    found = {}
    for backend in ("auto", "tensor"):
        with tf.GradientTape() as tape:
            tape.watch(points)
            mask = splat(points, surface, faces, backend)
        found[backend] = mask, tape.gradient(mask, points, output_gradients=upstream)
    for one, other in zip(found["auto"], found["tensor"]):
        np.testing.assert_allclose(one, other, atol=2e-6 * max(1.0, np.abs(other).max()))


@needs_kernel
def test_the_splat_in_c_takes_meshes_of_any_number_of_vertices(hand, posed):
    @tf.function(input_signature=[tf.TensorSpec([None, None, 3])], autograph=False)
    def slope(vertices):
        return tf.gradients(silhouette(vertices, hand.faces, virtual_intrinsics(SIZE), SIZE), vertices)[0]

    with tf.GradientTape() as tape:
        tape.watch(posed)
        mask = silhouette(posed, hand.faces, virtual_intrinsics(SIZE), SIZE)
    np.testing.assert_allclose(slope(posed), tape.gradient(mask, posed), atol=1e-3)


@needs_kernel
def test_the_splat_in_c_refuses_a_vertex_that_is_none():
    """An error instead of memory that is not its own."""
    picture = tf.zeros([1, 4, 4])
    surface = tf.zeros([1, 4, 4], tf.int32), tf.zeros([1, 4, 4, 3]), picture
    points = tf.zeros([1, 3, 2])
    with tf.GradientTape() as tape:
        tape.watch(points)
        mask = splat(points, surface, tf.constant([[0, 1, 3]]))
    with pytest.raises(tf.errors.InvalidArgumentError, match="face 0 has vertex 3 of 3"):
        tape.gradient(mask, points)


def test_the_area_drawn_for_a_picture_is_the_silhouette(hand, posed):
    """But for pixels whose centre lies within a tenth of a pixel of the outline."""
    camera = virtual_intrinsics(SIZE)
    for vertices, mask in zip(posed, silhouette(posed, hand.closed_faces, camera, SIZE).numpy() > 0.5):
        drawn = covered(project(vertices, camera).numpy(), hand.closed_faces, SIZE, SIZE)
        assert (mask & drawn).sum() > 0.98 * (mask | drawn).sum()
        assert abs(drawn.sum() - mask.sum()) < 0.015 * mask.sum()


def test_unknown_backend_is_refused():
    with pytest.raises(ValueError, match="backend"):
        rasterize(*square(), SIZE, "opengl")


def test_silhouette_gradient_is_the_slope_of_the_area(hand, posed):
    """The analytic gradient ignores changes inside the outline: it is between 0.6 and 1.2 of the slope."""
    camera = virtual_intrinsics(SIZE)
    centre = tf.reduce_mean(posed, axis=1, keepdims=True)
    centre = centre * [1.0, 1.0, 0.0] + [0.0, 0.0, 0.6]

    def area(scale):
        grown = (posed - centre) * [scale, scale, 1.0] + centre
        return tf.reduce_sum(silhouette(grown, hand.faces, camera, SIZE))

    scale = tf.constant(1.0)
    with tf.GradientTape() as tape:
        tape.watch(scale)
        total = area(scale)
    ratio = float(tape.gradient(total, scale)) / float((area(1.04) - area(0.96)) / 0.08)
    assert 0.6 < ratio < 1.2


def test_silhouette_equals_rasterize_then_splat(hand, posed):
    """tensorflow-graphics' differentiable renderer with one layer gives the same alpha and gradient."""
    camera = virtual_intrinsics(SIZE)
    upstream = tf.random.stateless_normal([3, SIZE, SIZE], [1, 2])
    found = []
    for draw in (
        lambda v: silhouette(v, hand.faces, camera, SIZE),
        lambda v: splat_silhouette(v, hand.faces, camera, SIZE),
    ):
        with tf.GradientTape() as tape:
            tape.watch(posed)
            alpha = draw(posed)
        found.append((alpha.numpy(), tape.gradient(alpha, posed, output_gradients=upstream).numpy()))
    (ours, our_slope), (theirs, their_slope) = found
    np.testing.assert_allclose(ours, theirs, atol=2e-3)
    assert np.linalg.norm(our_slope - their_slope) < 0.05 * np.linalg.norm(their_slope)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("scale", (0.2, 20.0))
def test_size_of_the_hand_does_not_matter(hand, posed, backend, scale):
    """The same picture of a hand of 3 cm or 3 m: the kernel's fixed-point numbers keep their precision."""
    camera = virtual_intrinsics(SIZE)
    mask, reference = (silhouette(vertices, hand.faces, camera, SIZE, backend) for vertices in (posed * scale, posed))
    assert np.mean(np.abs(mask - reference)) < 1e-3


@pytest.mark.parametrize("backend", BACKENDS)
def test_batches_of_unknown_size(hand, posed, backend):
    camera = virtual_intrinsics(SIZE)
    draw = tf.function(
        lambda v: silhouette(v, hand.faces, camera, SIZE, backend),
        input_signature=[tf.TensorSpec([None, len(hand.vertices), 3])],
        autograph=False,
    )
    np.testing.assert_allclose(draw(posed[:2]), draw(posed)[:2], atol=1e-6)
    assert draw(posed[:0]).shape == silhouette(posed[:0], hand.faces, camera, SIZE, backend).shape == (0, SIZE, SIZE)


def test_blurred_masks_pull_together_what_does_not_touch():
    """Two squares 30 pixels apart: only the pyramid's squared difference falls when one moves towards the other."""
    image = np.zeros((2, 96, 96), np.float32)
    image[0, 40:50, 20:30] = image[1, 40:50, 60:70] = 1.0
    nearer = np.roll(image, 1, axis=2)
    losses = {}
    for levels in (1, 6):
        target = mask_pyramid(tf.constant(image[1:]), levels)
        losses[levels] = [
            sum(
                float(tf.reduce_mean(tf.square(a - b)))
                for a, b in zip(mask_pyramid(tf.constant(m[:1]), levels), target)
            )
            for m in (image, nearer)
        ]
    assert losses[1][0] == pytest.approx(losses[1][1])
    assert losses[6][1] < losses[6][0] - 1e-5
    assert [level.shape[1] for level in mask_pyramid(tf.constant(image), 3)] == [96, 48, 24]
    inside = tf.ones([1, 96, 96])
    np.testing.assert_allclose(mask_pyramid(inside, 3)[2][:, 4:-4, 4:-4], 1.0, atol=1e-6)


def test_an_open_wrist_is_capped(hand, posed):
    """For a hand without the faces of the wrist's cap, as in MANO; the hole would be visible from the arm."""
    cap = (hand.vertices[hand.faces, 0] > hand.vertices[:, 0].max() - 0.002).all(axis=1)
    opened = hand.faces[~cap]
    closed = close_holes(opened)
    assert len(opened) < len(closed) <= len(hand.faces)  # vertices inside the old cap are left out
    np.testing.assert_array_equal(close_holes(hand.faces), hand.faces)
    edges = np.concatenate([closed[:, [0, 1]], closed[:, [1, 2]], closed[:, [2, 0]]])
    forward = set(map(tuple, edges))
    assert len(forward) == len(edges) and all((b, a) in forward for a, b in forward)
    camera = virtual_intrinsics(SIZE)
    whole, capped = (silhouette(posed, faces, camera, SIZE) for faces in (hand.faces, closed))
    assert np.mean(np.abs(whole - capped)) < 2e-3


def test_gradient_of_the_overlap_is_its_slope(hand, posed):
    """IoU with a moved target, against finite differences of the shift."""
    camera = virtual_intrinsics(SIZE)
    target = silhouette(posed[:1] + [0.02, 0.01, 0.0], hand.faces, camera, SIZE)

    def overlap(shift):
        mask = silhouette(posed[:1] + shift, hand.faces, camera, SIZE)
        both = tf.reduce_sum(mask * target)
        return both / (tf.reduce_sum(mask + target) - both)

    shift = tf.zeros([3])
    with tf.GradientTape() as tape:
        tape.watch(shift)
        value = overlap(shift)
    slope = tape.gradient(value, shift).numpy()
    for axis in range(2):
        step = np.eye(3, dtype=np.float32)[axis] * 0.006
        expected = float(overlap(step) - overlap(-step)) / 0.012
        assert 0.6 < slope[axis] / expected < 1.3


def test_degenerate_faces_and_an_empty_picture_have_no_gradient_problems(hand, posed):
    camera = virtual_intrinsics(SIZE)
    cases = {
        "a point": tf.zeros_like(posed) + [0.0, 0.0, 0.6],
        "beside the picture": posed + [5.0, 0.0, 0.0],
        "behind the camera": posed * [1.0, 1.0, -1.0],
        "half outside": posed + [0.12, 0.0, 0.0],
    }
    for name, vertices in cases.items():
        with tf.GradientTape() as tape:
            tape.watch(vertices)
            mask = silhouette(vertices, hand.faces, camera, SIZE)
        slope = tape.gradient(mask, vertices)
        assert np.isfinite(mask).all() and np.isfinite(slope).all(), name
        if name in ("beside the picture", "behind the camera"):
            assert not mask.numpy().any() and not slope.numpy().any(), name


def test_silhouette_moves_towards_a_target(hand, posed):
    camera = virtual_intrinsics(SIZE)
    target = silhouette(posed[:1], hand.faces, camera, SIZE)
    shift = tf.Variable([[0.012, -0.008, 0.0]])

    def loss():
        return tf.reduce_mean(tf.abs(silhouette(posed[:1] + shift[:, tf.newaxis], hand.faces, camera, SIZE) - target))

    start = float(loss())
    for _ in range(40):
        with tf.GradientTape() as tape:
            value = loss()
        gradient = tape.gradient(value, shift)
        shift.assign_sub(0.001 * gradient / (tf.norm(gradient) + 1e-9))
    assert float(loss()) < 0.35 * start


def test_a_broken_sample_spoils_no_other(hand, posed):
    camera = virtual_intrinsics(SIZE)
    spoiled = tf.tensor_scatter_nd_update(posed, [[1]], posed[1:2] * np.nan)
    with tf.GradientTape() as tape:
        tape.watch(spoiled)
        masks = silhouette(spoiled, hand.faces, camera, SIZE)
        total = tf.reduce_sum(masks)
    np.testing.assert_allclose(masks[0], silhouette(posed, hand.faces, camera, SIZE)[0])
    assert np.isfinite(tape.gradient(total, spoiled).numpy()[[0, 2]]).all()
