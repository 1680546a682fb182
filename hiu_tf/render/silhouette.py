"""The differentiable mask of a hand mesh, for self-supervision (supplement 1.2).

This is rasterise-then-splat (Cole et al., 2021; `tensorflow_graphics.rendering.splat`) for one opaque layer
without colours: rasterizer.py finds the covered pixels, splat.py spreads them and has the gradient. Only pixels next to
the outline have one.
"""

import tensorflow as tf

from hiu_tf.geometry.tensor.camera import project
from hiu_tf.render.rasterizer import nearest_surface
from hiu_tf.render.splat import splat, three_by_three


def silhouette(vertices: tf.Tensor, faces, intrinsics, size: int, backend: str = "auto") -> tf.Tensor:
    """Renders the mask of each mesh, differentiable with respect to its vertices.

    Args:
      vertices: [B, V, 3] metres, camera frame.
      faces: [F, 3] int32.
      intrinsics: K [3, 3] or [B, 3, 3] of a size x size picture.
      size: side of the mask in pixels.
      backend: see `rasterize`.

    Returns:
      [B, size, size] float32 in [0, 1].
    """
    vertices = tf.cast(vertices, tf.float32)
    points = project(vertices, intrinsics)
    faces = tf.convert_to_tensor(faces, tf.int32)
    surface = nearest_surface(points, tf.stop_gradient(vertices[..., 2]), faces, size, backend)
    return splat(points, surface, faces, backend)


def mask_pyramid(mask: tf.Tensor, levels: int) -> list[tf.Tensor]:
    """Pyramid by repeated blurring and halving: [B, S, S] -> [B, S, S], [B, S/2, S/2], ..., `levels` of them.

    The gradient of a mask exists only within a pixel of its outline, and does not help if the masks do not
    overlap. The squared difference of two blurred masks decreases as they approach each other, within the
    radius of the blur. Compare pyramids to attract masks that do not touch.
    """
    pyramid = [mask]
    for _ in range(levels - 1):
        mask = three_by_three(three_by_three(mask, 0.5) / 4.0, 0.5)[:, ::2, ::2] / 4.0
        pyramid.append(mask)
    return pyramid
