"""Unwraps the procedural hand: cuts its skin into islands, flattens them, packs them into a square.

Eight islands: each finger from the web to the tip, slit along its side away from the thumb (the thumb's towards the
back of the hand); palm; back; the cap of the wrist. Each is flattened by minimising the symmetric Dirichlet energy,
which keeps lengths and cannot fold. NumPy, SciPy, float64. Used by tools/build_hand.py alone.
"""

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import breadth_first_order, connected_components, dijkstra, maximum_flow
from scipy.sparse.linalg import splu

from hiu_tf.conventions.skeleton import FINGERS
from hiu_tf.hand import anatomy
from hiu_tf.hand.atlas import Atlas
from hiu_tf.hand.model import HandModel

ISLANDS = (*FINGERS, "palm", "back", "wrist")
#: Where a finger's island starts, as a share of its first bone (of the thumb: of its second).
_START = 0.25
#: How far a slit goes over the tip to the other side: the tangent of an angle.
_OVER = 0.5
#: Length in which the border of a finger's island may lie, metres.
_BAND = 0.014
#: Faces of the body whose normals turn more than this to the palm or to the back belong to that island.
_FACING = 0.55
_ITERATIONS = 400
#: Empty border of an island, as a share of the square's side: 4 pixels of 512.
_BORDER = 4 / 512
#: Rows of the square from the top. Fingers are in the order of a right palm that faces the viewer.
_ROWS = (("little", "ring", "middle", "index"), ("palm", "back"), ("thumb", "wrist"))


def unwrap(hand: HandModel) -> Atlas:
    """Unwraps a right procedural hand. The same mesh gives the same atlas."""
    vertices, faces = hand.vertices.astype(float), hand.faces
    islands = face_islands(vertices, faces)
    corners = _split_corners(faces, islands, _slits(vertices, faces, islands))
    count = corners.max() + 1
    source = np.empty(count, np.int64)
    source[corners] = faces
    flat = np.zeros((count, 2))
    for number, name in enumerate(ISLANDS):
        inside = corners[islands == number]
        used, local = np.unique(inside, return_inverse=True)
        plane = flatten(vertices[source[used]], local.reshape(-1, 3))
        flat[used] = plane @ _upright(plane, vertices[source[used]], name).T
    return Atlas(source, _packed(flat, corners, islands), corners)


def face_islands(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Index into `ISLANDS` of each face [F]. Between what is surely inside and surely outside, borders are shortest."""
    centres = vertices[faces].mean(axis=1)
    normals = np.cross(vertices[faces[:, 1]] - vertices[faces[:, 0]], vertices[faces[:, 2]] - vertices[faces[:, 0]])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    nearest = nearest_finger(centres)
    islands = np.where((normals[:, 0] > 0.75) & (centres[:, 0] > 0.02), ISLANDS.index("wrist"), -1)
    for number, name in enumerate(FINGERS):
        start, axis, _ = finger_frame(name)
        along = (centres - start) @ axis
        finger = _cut(vertices, faces, (nearest == number) & (along > _BAND), (nearest != number) | (along < 0))
        islands[finger] = number
    body = islands < 0
    palm = _cut(vertices, faces, body & (normals[:, 1] < -_FACING), body & (normals[:, 1] > _FACING), body)
    islands[body] = np.where(palm[body], ISLANDS.index("palm"), ISLANDS.index("back"))
    return islands


def finger_frame(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Start of a finger's island [3], its unit direction [3] and unit direction to its back [3], metres, hand frame."""
    chain = anatomy.finger_joints_mm(name) / 1000
    first = 1 if name == "thumb" else 0
    axis = chain[3] - chain[first]
    axis /= np.linalg.norm(axis)
    flexion = anatomy.joint_axes(name)[0]
    dorsal = np.cross(axis, flexion)
    return chain[first] + _START * (chain[first + 1] - chain[first]), axis, dorsal / np.linalg.norm(dorsal)


def flatten(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Flattens a disc with little distortion: points [N, 3], faces [M, 3] -> [N, 2] in the same unit.

    Faces stay counter-clockwise. Tutte's embedding, which cannot fold, is the start of a descent (L-BFGS with the
    Laplacian as first guess of the Hessian) whose steps end before a triangle would flip.

    Raises:
      ValueError: the faces are not one disc.
    """
    a, b, c = (points[faces[:, k]] for k in range(3))
    x = np.linalg.norm(b - a, axis=1)
    area = 0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1)
    rest = np.zeros((len(faces), 2, 2))  # columns: the edges from the first corner, in the plane of the triangle
    rest[:, 0, 0], rest[:, 0, 1] = x, np.einsum("fc,fc->f", c - a, b - a) / x
    rest[:, 1, 1] = 2 * area / x
    gradients = _corner_gradients(faces, np.linalg.inv(rest), len(points))
    stiffness = gradients.T @ coo_matrix((np.tile(area, 2), 2 * [np.arange(2 * len(faces))])) @ gradients
    solve = splu((stiffness + 1e-8 * stiffness.diagonal().mean() * _identity(len(points))).tocsc()).solve
    flat = _tutte(points, faces)
    flat *= np.sqrt(area.sum() / (0.5 * _det(_jacobians(gradients, flat)) @ (2 * area)))
    return _descend(flat, gradients, area, solve)


def _descend(flat, gradients, area, solve):
    """Minimises the sum of area * (|J|^2 + |J^-1|^2) over the triangles by L-BFGS."""
    energy, slope = _energy(flat, gradients, area)
    steps, changes = [], []
    for _ in range(_ITERATIONS):
        direction = -_quasi_newton(slope, steps, changes, solve)
        size = min(1.0, 0.9 * _first_flip(_jacobians(gradients, flat), _jacobians(gradients, direction)))
        decline = np.sum(slope * direction)
        while size > 1e-12:
            found, new_slope = _energy(flat + size * direction, gradients, area)
            if found <= energy + 1e-4 * size * decline:
                break
            size *= 0.5
        if not size > 1e-12 or energy - found < 1e-10 * energy:
            break
        steps, changes = [*steps[-9:], size * direction], [*changes[-9:], new_slope - slope]
        flat, energy, slope = flat + size * direction, found, new_slope
    return flat


def _quasi_newton(slope, steps, changes, solve):
    """The two-loop recursion: the approximate inverse Hessian times the gradient, [N, 2]."""
    kept = [(s, y, np.sum(s * y)) for s, y in zip(steps, changes)]
    kept = [(s, y, sy) for s, y, sy in kept if sy > 0]
    found, shares = slope.copy(), []
    for s, y, sy in reversed(kept):
        shares.append(np.sum(s * found) / sy)
        found -= shares[-1] * y
    found = solve(found)
    for (s, y, sy), share in zip(kept, reversed(shares)):
        found += (share - np.sum(y * found) / sy) * s
    return found


def _energy(flat, gradients, area):
    """Symmetric Dirichlet energy and its gradient [N, 2]; infinite if a triangle is flipped."""
    jacobians = _jacobians(gradients, flat)
    det = _det(jacobians)
    if det.min() <= 0:
        return np.inf, None
    square = np.sum(np.square(jacobians), axis=(1, 2))
    cofactors = jacobians[:, ::-1, ::-1] * np.array([[1, -1], [-1, 1]])
    slope = (1 + 1 / det**2)[:, None, None] * jacobians - (square / det**3)[:, None, None] * cofactors
    slope = (2 * area[:, None, None] * slope).transpose(2, 0, 1).reshape(-1, 2)
    return area @ (square * (1 + 1 / det**2)), gradients.T @ slope


def _jacobians(gradients, flat):
    """J [F, 2 (plane), 2 (triangle)] of each triangle."""
    return (gradients @ flat).reshape(2, -1, 2).transpose(1, 2, 0)


def _corner_gradients(faces, inverse, count):
    """Sparse [2 F, N]: values at the vertices -> derivative along x of each triangle's own plane, then along y."""
    shares = np.concatenate([-inverse.sum(axis=1, keepdims=True), inverse], axis=1)  # [F, corner, axis]
    rows = np.arange(2 * len(faces)).reshape(2, -1, 1)
    rows, columns = np.broadcast_arrays(rows, faces[np.newaxis])
    return csr_matrix(
        (shares.transpose(2, 0, 1).reshape(-1), (rows.reshape(-1), columns.reshape(-1))), (2 * len(faces), count)
    )


def _first_flip(jacobians, change):
    """The smallest step > 0 at which the determinant of a J + step * change is zero."""
    a, c = _det(change), _det(jacobians)
    both = _det(jacobians + change)
    b = both - a - c
    root = np.sqrt(np.maximum(b**2 - 4 * a * c, 0))
    real = b**2 - 4 * a * c >= 0
    with np.errstate(divide="ignore", invalid="ignore"):
        # Both roots in the form that does not cancel.
        q = -0.5 * (b + np.where(b >= 0, root, -root))
        roots = np.stack([q / a, c / q])
    roots = roots[:, real]
    return roots[np.isfinite(roots) & (roots > 0)].min(initial=np.inf)


def _det(matrices):
    return matrices[:, 0, 0] * matrices[:, 1, 1] - matrices[:, 0, 1] * matrices[:, 1, 0]


def _tutte(points, faces):
    """Every inner vertex in the middle of its neighbours, the border on a circle: [N, 2] without folds."""
    loop = _border(faces)
    lengths = np.linalg.norm(points[loop] - points[np.roll(loop, 1)], axis=1)
    angles = 2 * np.pi * np.cumsum(lengths) / lengths.sum()
    edges = _edges(faces)
    rows, columns = np.concatenate([edges, edges[:, ::-1]]).T
    links = csr_matrix((np.ones(len(rows)), (rows, columns)), (len(points), len(points)))
    links.data[:] = 1.0  # an inner edge is in two faces
    inner = np.setdiff1d(np.arange(len(points)), loop)
    flat = np.zeros((len(points), 2))
    flat[loop] = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    degree = np.asarray(links.sum(axis=1))[:, 0]
    matrix = (csr_matrix((degree, 2 * [np.arange(len(points))])) - links)[inner]
    flat[inner] = splu(matrix[:, inner].tocsc()).solve(-(matrix[:, loop] @ flat[loop]))
    return flat


def _border(faces):
    """The loop of border vertices, counter-clockwise."""
    edges = _edges(faces)
    inner = {(b, a) for a, b in map(tuple, edges)}
    after = {a: b for a, b in map(tuple, edges) if (a, b) not in inner}
    start = min(after)
    loop = [start]
    while after[loop[-1]] != start:
        loop.append(after[loop[-1]])
    if len(loop) != len(after):
        raise ValueError("the faces are not one disc: their border is not one loop")
    return np.array(loop)


def _edges(faces):
    return np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])


def _identity(count):
    return csr_matrix((np.ones(count), 2 * [np.arange(count)]))


def nearest_finger(points):
    """Index in FINGERS of the finger whose bones are nearest to each point [N], in multiples of its radius."""
    distances = []
    for name in FINGERS:
        chain, radius = anatomy.finger_joints_mm(name) / 1000, anatomy.FINGERS_MM[name].radii[1] / 1000
        distances.append(np.min([_to_segment(points, a, b) for a, b in zip(chain[:-1], chain[1:])], axis=0) / radius)
    return np.argmin(distances, axis=0)


def _to_segment(points, start, end):
    axis = end - start
    t = np.clip((points - start) @ axis / (axis @ axis), 0, 1)
    return np.linalg.norm(points - start - t[:, np.newaxis] * axis, axis=1)


def _neighbours(faces):
    """Pairs of faces that share an edge, [E, 2], and that edge as its vertices in ascending order, [E, 2]."""
    edges = np.sort(_edges(faces), axis=1)
    owner = np.tile(np.arange(len(faces)), 3)
    order = np.lexsort(edges.T)
    edges, owner = edges[order].reshape(-1, 2, 2), owner[order].reshape(-1, 2)  # closed: every edge twice
    return owner, edges[:, 0]


def _cut(vertices, faces, inside, outside, part=None):
    """Divides the faces of `part` [F] (all by default) by the shortest border between two sets: [F] bool, the inner part."""
    pairs, edges = _neighbours(faces)
    part = np.ones(len(faces), bool) if part is None else part
    kept = part[pairs].all(axis=1)
    pairs, edges = pairs[kept], edges[kept]
    lengths = np.linalg.norm(vertices[edges[:, 0]] - vertices[edges[:, 1]], axis=1)
    source, sink, endless = len(faces), len(faces) + 1, 10**9
    rows = np.concatenate([pairs[:, 0], pairs[:, 1], np.full(inside.sum(), source), np.flatnonzero(outside)])
    columns = np.concatenate([pairs[:, 1], pairs[:, 0], np.flatnonzero(inside), np.full(outside.sum(), sink)])
    micrometres = np.round(1e6 * lengths)
    capacity = np.concatenate([micrometres, micrometres, np.full(inside.sum() + outside.sum(), endless)])
    graph = csr_matrix((capacity.astype(np.int32), (rows, columns)), 2 * [len(faces) + 2])
    left = graph - maximum_flow(graph, source, sink).flow
    left.data = np.maximum(left.data, 0)
    left.eliminate_zeros()
    reached = breadth_first_order(left, source, return_predecessors=False)
    found = np.zeros(len(faces) + 2, bool)
    found[reached] = True
    return found[:-2]


def _slits(vertices, faces, islands):
    """Edges along which the fingers are opened, as a set of sorted pairs: from the border to the tip along one side."""
    slits = set()
    for number, name in enumerate(FINGERS):
        start, axis, dorsal = finger_frame(name)
        inside = faces[islands == number]
        edges = np.unique(np.sort(_edges(inside), axis=1), axis=0)
        side = np.cross(dorsal, axis)
        middle = vertices[edges].mean(axis=1) - start
        angle = np.arctan2(middle @ dorsal, middle @ side)
        cost = np.linalg.norm(np.diff(vertices[edges], axis=1)[:, 0], axis=1) * (1 + 25 * angle**2)
        graph = coo_matrix((cost, edges.T), (len(vertices), len(vertices))).tocsr()
        used = np.unique(inside)
        tip = used[np.argmax((vertices[used] - start) @ (axis - _OVER * side))]
        far, before = dijkstra(graph, directed=False, indices=tip, return_predecessors=True)
        border = _border(inside)
        at = border[np.argmin(far[border])]
        while at != tip:
            slits.add((min(at, before[at]), max(at, before[at])))
            at = before[at]
    return slits


def _split_corners(faces, islands, slits):
    """Atlas point of each face's corner, [F, 3]: faces share a point where no seam is between them."""
    pairs, edges = _neighbours(faces)
    joined = (islands[pairs[:, 0]] == islands[pairs[:, 1]]) & np.array([tuple(edge) not in slits for edge in edges])
    corner = lambda face, vertex: 3 * face + np.argmax(faces[face] == vertex[:, np.newaxis], axis=1)
    links = [
        np.stack([corner(pairs[joined, 0], edges[joined, end]), corner(pairs[joined, 1], edges[joined, end])])
        for end in (0, 1)
    ]
    rows, columns = np.concatenate(links, axis=1)
    graph = coo_matrix((np.ones(len(rows)), (rows, columns)), 2 * [faces.size])
    _, points = connected_components(graph, directed=False)
    return points.reshape(-1, 3)


def _upright(flat, points, name):
    """Rotation [2, 2] that turns an island so that its fingertips (of the wrist's cap: its back) point up."""
    up = {"palm": (-1, 0, 0), "back": (-1, 0, 0), "wrist": (0, 1, 0)}
    height = points @ (finger_frame(name)[1] if name in FINGERS else np.array(up[name], float))
    x, y = np.linalg.lstsq(flat - flat.mean(axis=0), height - height.mean(), rcond=None)[0]
    return np.array([[y, -x], [x, y]]) / np.hypot(x, y)


def _packed(flat, corners, islands):
    """Places the islands in rows; returns texture coordinates [W, 2] in [0, 1], from the upper left corner, v down."""
    used = {name: np.unique(corners[islands == number]) for number, name in enumerate(ISLANDS)}
    size = {name: np.ptp(flat[points], axis=0) for name, points in used.items()}
    widths = [(1 - 2 * _BORDER * len(row)) / sum(size[name][0] for name in row) for row in _ROWS]
    heights = (1 - 2 * _BORDER * len(_ROWS)) / sum(max(size[name][1] for name in row) for row in _ROWS)
    scale, placed, top = min(*widths, heights), np.empty_like(flat), 0.0
    for row in _ROWS:
        left = 0.0
        for name in row:
            points = used[name]
            low, high = flat[points].min(axis=0), flat[points].max(axis=0)
            placed[points, 0] = left + _BORDER + scale * (flat[points, 0] - low[0])
            placed[points, 1] = top + _BORDER + scale * (high[1] - flat[points, 1])
            left += 2 * _BORDER + scale * (high[0] - low[0])
        top += 2 * _BORDER + scale * max(size[name][1] for name in row)
    return placed
