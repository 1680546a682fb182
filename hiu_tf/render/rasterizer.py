"""Which triangle covers which pixel: tensorflow-graphics' kernel, or its twin in TensorFlow ops.

Both take the same projected mesh and return the same `Framebuffer`. Not differentiable: see
silhouette.py for the gradient.
"""

import tensorflow as tf
from tensorflow_graphics.rendering.framebuffer import Framebuffer, RasterizedAttribute

from hiu_tf.render.kernel import rasterizer_backend

BACKENDS = ("auto", "kernel", "tensor")


def rasterize(points: tf.Tensor, depth: tf.Tensor, faces, size: int, backend: str = "auto") -> Framebuffer:
    """Rasterises one closed mesh per picture; keeps only the nearest surface.

    Args:
      points: [B, V, 2] projected vertices, pixels (x, y) of a size x size picture; (0, 0) is the
        centre of the first pixel.
      depth: [B, V] distance from the camera, metres; vertices at <= 0 are not drawn.
      faces: [F, 3] int32.
      size: side of the picture in pixels.
      backend: "kernel" (C++), "tensor" (TensorFlow operations) or "auto".

    Returns:
      tensorflow-graphics' Framebuffer; every field is [B, size, size, channels].

    Raises:
      ValueError: unknown backend, or the kernel was requested and cannot be built.
    """
    faces = tf.convert_to_tensor(faces, tf.int32)
    triangle_id, barycentrics, covered = nearest_surface(points, depth, faces, size, backend)
    return Framebuffer(
        barycentrics=RasterizedAttribute(barycentrics),
        triangle_id=triangle_id[..., tf.newaxis],
        vertex_ids=tf.gather(faces, triangle_id),
        foreground_mask=covered[..., tf.newaxis],
    )


def nearest_surface(points: tf.Tensor, depth: tf.Tensor, faces: tf.Tensor, size: int, backend: str = "auto"):
    """As `rasterize`, but returns plain tensors.

    Returns:
      triangle of each pixel [B, S, S] int32, barycentric weights [B, S, S, 3], covered [B, S, S] 0 or 1.
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, got {backend!r}")
    kernel = None if backend == "tensor" else rasterizer_backend()
    if backend == "kernel" and kernel is None:
        raise ValueError("the rasteriser kernel cannot be built here: is there a C++ compiler?")
    ndc = _normalised(tf.stop_gradient(points), tf.stop_gradient(depth), size)
    if kernel is None:
        return _draw_with_tensors(ndc, faces, size)
    types = (tf.int32, tf.float32, tf.float32)
    drawn = tf.map_fn(lambda mesh: _draw_with_kernel(kernel, mesh, faces, size), ndc, fn_output_signature=types)
    # Of an empty batch the loop knows no shape.
    return tuple(tf.reshape(value, [-1, size, size, *more]) for value, more in zip(drawn, ((), (3,), ())))


def _normalised(points, depth, size):
    """Pixels and metres -> normalised device coordinates [B, V, 3], z in (-1, 1) per picture."""
    xy = (points + 0.5) * (2.0 / size) - 1.0
    behind = depth <= 1e-4
    near = tf.reduce_min(tf.where(behind, tf.fill(tf.shape(depth), 1e9), depth), axis=1, keepdims=True)
    far = tf.reduce_max(depth, axis=1, keepdims=True)
    z = 1.8 * (depth - near) / tf.maximum(far - near, 1e-6) - 0.9
    outside = tf.constant(2.0)  # beyond the far plane, so that the pixel test drops it
    z = tf.where(behind | ~tf.math.is_finite(z), outside, z)
    xy = tf.where(tf.math.is_finite(xy), tf.clip_by_value(xy, -50.0, 50.0), 49.0)
    return tf.concat([xy, z[..., tf.newaxis]], axis=-1)


def _draw_with_kernel(kernel, mesh, faces, size):
    buffer = kernel.rasterize(mesh[tf.newaxis], faces, tf.eye(4)[tf.newaxis], (size, size), False, 1)
    covered = buffer.foreground_mask[0, 0, ..., 0]
    return buffer.triangle_id[0, 0, ..., 0], buffer.barycentrics.value[0, 0], covered


def _draw_with_tensors(meshes, faces, size):
    """Rasterises without the kernel: tests every face against the pixels of its bounding box."""
    corners = tf.reshape(tf.gather(meshes, faces, axis=1), [-1, 3, 3])
    face, x, y = _candidate_pixels(corners, size)
    centres = (tf.cast(tf.stack([x, y], axis=-1), tf.float32) + 0.5) * (2.0 / size) - 1.0
    weights, z = _inside_test(tf.gather(corners, face), centres)
    inside = tf.where(z < 1.0)[:, 0]
    face, z, weights = tf.gather(face, inside), tf.gather(z, inside), tf.gather(weights, inside)
    batch = tf.shape(meshes)[0]
    pixel = (face // faces.shape[0]) * size * size + tf.gather(y * size + x, inside)
    return _nearest(pixel, face % faces.shape[0], weights, z, batch, size)


def _candidate_pixels(corners, size):
    """(face, x, y) of every pixel centre in every face's bounding box, each [N] int32."""
    pixels = (corners[..., :2] + 1.0) * (0.5 * size) - 0.5
    low = tf.cast(tf.clip_by_value(tf.math.ceil(tf.reduce_min(pixels, axis=1)), 0, size), tf.int32)
    high = tf.cast(tf.clip_by_value(tf.math.floor(tf.reduce_max(pixels, axis=1)), -1, size - 1), tf.int32)
    extent = tf.maximum(high - low + 1, 0)
    count = extent[:, 0] * extent[:, 1]
    face = tf.repeat(tf.range(tf.shape(corners)[0]), count)
    index = tf.range(tf.shape(face)[0]) - tf.gather(tf.cumsum(count, exclusive=True), face)
    width = tf.gather(extent[:, 0], face)
    return face, tf.gather(low[:, 0], face) + index % width, tf.gather(low[:, 1], face) + index // width


def _inside_test(corners, points):
    """Barycentric weights [N, 3] and depth [N] of points in their triangles; depth 1 for points outside."""
    x, y, z = (corners[..., i] for i in range(3))
    px, py = points[:, 0], points[:, 1]
    edges = [(x[:, j] - px) * (y[:, k] - py) - (x[:, k] - px) * (y[:, j] - py) for j, k in ((1, 2), (2, 0), (0, 1))]
    area = edges[0] + edges[1] + edges[2]
    weights = tf.stack(edges, axis=-1) / tf.where(area == 0, tf.ones_like(area), area)[:, tf.newaxis]
    depth = tf.reduce_sum(weights * z, axis=-1)
    inside = tf.reduce_all(weights >= 0, axis=-1) & (area != 0) & (tf.abs(depth) < 1)
    return weights, tf.where(inside, depth, tf.ones_like(depth))


def _nearest(pixel, face, weights, z, batch, size):
    """Keeps the nearest candidate of each pixel; ties go to the first face."""
    total = batch * size * size
    nearest = tf.math.unsorted_segment_min(z, pixel, total)
    winners = tf.where(z <= tf.gather(nearest, pixel))[:, 0][::-1]
    where = tf.gather(pixel, winners)[:, tf.newaxis]
    triangle_id = tf.tensor_scatter_nd_update(tf.zeros([total], tf.int32), where, tf.gather(face, winners))
    barycentrics = tf.tensor_scatter_nd_update(tf.zeros([total, 3]), where, tf.gather(weights, winners))
    shape = [batch, size, size]
    covered = tf.cast(nearest < 1.0, tf.float32)
    return tf.reshape(triangle_id, shape), tf.reshape(barycentrics, [*shape, 3]), tf.reshape(covered, shape)
