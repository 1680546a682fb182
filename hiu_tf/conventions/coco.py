"""COCO's pixels: its origin is the corner of the first pixel, ours its centre."""

#: x and y of COCO minus this are ours.
CORNER = 0.5


def own_box(box) -> tuple[float, float, float, float]:
    """x, y, width, height of COCO -> ours."""
    x, y, width, height = box
    return x - CORNER, y - CORNER, width, height
