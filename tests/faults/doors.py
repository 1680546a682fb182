"""The doors: one for each kind of external input. A door makes a good input and processes damaged copies of it.

A door is a generator function. It gets a folder, prepares what it needs, and yields attempt(rng), which damages an
input at random and processes it. An attempt returns if the result is valid (including its invariants) and raises
UserError if the input is refused with a readable message. Anything else is a fault.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from hiu_tf.errors import UserError
from tests.faults import mutators
from tests.faults.answers import Attempt, Wrong, check_finite, check_found, check_prediction, predict, run, run_cli
from tests.faults.material import card_of, scene, tiny_file, tiny_saved
from tests.faults.mutators import mutate, mutate_tree
from tests.faults.servers import grpc, rest, signature
from tests.places import RECIPES


def picture(folder: Path) -> Iterator[Attempt]:
    """`hiu predict` on damaged JPEG, PNG, BMP and WebP files."""
    import cv2

    good = [(s, cv2.imencode(s, scene())[1].tobytes()) for s in (".jpg", ".png", ".bmp", ".webp")]
    model = str(tiny_file(folder))

    def attempt(rng):
        suffix, content = good[rng.integers(len(good))]
        path = folder / f"hand{suffix}"
        path.write_bytes(mutate(content, rng))
        options = ["--box", "10,10,50,50", "--side", "right", "--max-megapixels", "20"]
        more = ["--allow-truncated"] if rng.random() < 0.3 else []
        run_cli("predict", str(path), "--out", str(folder / "out"), "--model", model, *options, *more)
        for hand in json.loads((folder / "out" / "hand.json").read_text())["hands"]:
            check_prediction(hand)

    yield attempt


def clip(folder: Path) -> Iterator[Attempt]:
    """`hiu predict` on damaged clips."""
    import cv2

    writer = cv2.VideoWriter(str(folder / "good.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 5, (64, 48))
    for k in range(4):
        writer.write(cv2.resize(np.roll(scene(), 3 * k, 1), (64, 48)))
    writer.release()
    good, model = (folder / "good.mp4").read_bytes(), str(tiny_file(folder))

    def attempt(rng):
        (folder / "clip.mp4").write_bytes(mutate(good, rng))
        run_cli("predict", str(folder / "clip.mp4"), "--out", str(folder / "out"), "--model", model, "--box", "5,5,40,40", "--side", "left", "--min-score", "0")  # fmt: skip
        for line in (folder / "out" / "clip.jsonl").read_text().splitlines()[1:]:
            for hand in json.loads(line)["hands"]:
                check_prediction(hand)

    yield attempt


def hand_file(folder: Path) -> Iterator[Attempt]:
    """Hand models in .npz files."""
    from hiu_tf.hand.model import load_hand_model, save_hand_model
    from hiu_tf.hand.procedural import PROCEDURAL_HAND, procedural_hand

    save_hand_model(folder / "plain.npz", procedural_hand())
    good = [PROCEDURAL_HAND.read_bytes(), (folder / "plain.npz").read_bytes()]

    def attempt(rng):
        (folder / "hand.npz").write_bytes(mutate(good[rng.integers(2)], rng))
        hand = load_hand_model(folder / "hand.npz")
        if not np.isfinite(hand.vertices).all():
            raise Wrong("vertices are not finite")

    yield attempt


def mano(folder: Path) -> Iterator[Attempt]:
    """MANO's pickles."""
    from hiu_tf.hand.mano import read_mano
    from tests.hand.test_mano import mano_arrays, write

    good = write(folder / "MANO_RIGHT.pkl", mano_arrays()).read_bytes()

    def attempt(rng):
        (folder / "damaged.pkl").write_bytes(mutate(good, rng))
        read_mano(folder / "damaged.pkl")

    yield attempt


def tflite(folder: Path) -> Iterator[Attempt]:
    """.tflite files with their card inside."""
    good = tiny_file(folder).read_bytes()

    def attempt(rng):
        (folder / "model.tflite").write_bytes(mutate(good, rng))
        predict(folder / "model.tflite")

    yield attempt


def onnx(folder: Path) -> Iterator[Attempt]:
    """.onnx files with their card inside."""
    from hiu_tf.config.presets import model_config
    from hiu_tf.exporting.module import HIUModule
    from hiu_tf.exporting.onnx_file import export_onnx
    from hiu_tf.hand.procedural import procedural_hand
    from hiu_tf.models.hiu import build_hiu

    export_onnx(HIUModule(build_hiu(model_config("tiny")), procedural_hand()), folder / "good.onnx", card_of(folder))
    good = (folder / "good.onnx").read_bytes()

    def attempt(rng):
        (folder / "model.onnx").write_bytes(mutate(good, rng))
        predict(folder / "model.onnx")

    yield attempt


def detector(folder: Path) -> Iterator[Attempt]:
    """The detector's file; and pictures of any shape with an undamaged detector."""
    from hiu_tf.runtime.detector import Detector
    from hiu_tf.runtime.shipped import DETECTOR, shipped_model

    good = shipped_model(DETECTOR).read_bytes()
    whole = Detector(shipped_model(DETECTOR), 1)

    def attempt(rng):
        (folder / "detector.tflite").write_bytes(mutate(good, rng))
        shape = np.exp(rng.uniform(0.7, 6, 2)).astype(int)
        picture = rng.integers(0, 255, (*shape, 3), dtype=np.uint8)
        check_found(whole.find(picture, 0.01, thorough=rng.random() < 0.2))
        check_found(Detector(folder / "detector.tflite", 1).find(picture, 0.01))

    yield attempt


def card(folder: Path) -> Iterator[Attempt]:
    """Cards with fields of wrong types and shapes, beside an undamaged file."""
    plain = folder / "plain" / "model.tflite"
    plain.parent.mkdir()
    content = tiny_file(folder).read_bytes()
    tree = card_of(folder)
    tree["faces"] = tree["faces"][:6]
    plain.write_bytes(content[: content.rfind(b"PK\x03\x04")])

    def attempt(rng):
        changed = mutate_tree(tree, rng)
        text = json.dumps(changed).encode()
        (plain.parent / "model.json").write_bytes(mutate(text, rng) if rng.random() < 0.3 else text)
        predict(plain)

    yield attempt


def saved_model(folder: Path) -> Iterator[Attempt]:
    """Files of a SavedModel."""
    version = tiny_saved(folder)
    files = [path for path in version.rglob("*") if path.is_file() and "extra" not in path.parts[-2]]
    contents = {path: path.read_bytes() for path in files}
    # The fingerprint is never read: attempts with it would only cost time to load the model.
    shares = np.array([0.1 if path.name == "fingerprint.pb" else 1.0 for path in files])

    def attempt(rng):
        path = files[rng.choice(len(files), p=shares / shares.sum())]
        path.write_bytes(mutate(contents[path], rng))
        try:
            predict(version)
        finally:
            path.write_bytes(contents[path])

    yield attempt


def recipe(folder: Path) -> Iterator[Attempt]:
    """Recipes, and settings of --set."""
    from hiu_tf.config.load import load_recipe

    good = [path.read_bytes() for path in RECIPES.glob("*.yaml") if path.stem != "hand_detector"]
    settings = [b"train.batch_size=8", b"network.stacks=2", b"data.*.ssl=0", b"augment.blur_probability=0.2"]

    def attempt(rng):
        content, setting = good[rng.integers(len(good))], settings[rng.integers(len(settings))]
        if rng.random() < 0.5:
            content = mutate(content, rng)
        else:
            setting = mutate(setting, rng)
        (folder / "recipe.yaml").write_bytes(content)
        load_recipe(folder / "recipe.yaml", [setting.decode(errors="replace")])

    yield attempt


def records(folder: Path) -> Iterator[Attempt]:
    """Shards, their notes and their index, as evaluation reads them."""
    from hiu_tf.programs._measure import Part, batches
    from pipelines.datasets import open_split
    from pipelines.records import write_index, write_shard

    shard = folder / "set" / "val-00000-of-00001.tfrecord"
    shard.parent.mkdir()
    note = write_shard(shard, open_split("synthetic", "3", "val").outcomes())
    write_index(shard.parent, "synthetic", "val", {shard.name: note})
    contents = {path: path.read_bytes() for path in shard.parent.iterdir()}

    def attempt(rng):
        path = list(contents)[rng.integers(len(contents))]
        path.write_bytes(mutate(contents[path], rng))
        try:
            part = Part(str(folder), ["set"], skip_damaged=bool(rng.random() < 0.5))
            for batch in batches(shard.parent, 64, part):
                check_finite(batch)
        finally:
            path.write_bytes(contents[path])

    yield attempt


def fit(folder: Path) -> Iterator[Attempt]:
    """Samples with odd labels, as `hiu fit` gets them: a mesh that is kept lies on the hand, another sample's fit stays the same."""
    from hiu_tf.geometry.camera import project
    from hiu_tf.hand.procedural import procedural_hand
    from pipelines.datasets import open_split
    from pipelines.meshes import MOST_2D_ERROR, fit_samples

    hand = procedural_hand()
    good = [
        replace(sample, vertices=sample.vertices[:0]) for _, sample in open_split("synthetic", "3", "val").outcomes()
    ]

    alone = fit_samples(good[:1], hand)[0]

    def attempt(rng):
        sample = replace(good[rng.integers(len(good))])
        for _ in range(int(rng.integers(1, 4)) if mutators.damages else 0):
            _change_a_label(sample, rng)
        found, neighbour = fit_samples([sample.validate(), good[0]], hand)
        if not np.allclose(neighbour.sample.vertices, alone.sample.vertices, atol=1e-4):
            raise Wrong("an odd sample changes the fit of another one")
        if found.refused:
            raise UserError(found.refused)
        fitted = found.sample.validate()
        far = np.linalg.norm(project(fitted.joints_3d, fitted.intrinsics) - fitted.joints_2d, axis=1).mean()
        if not (len(fitted.vertices) and far <= MOST_2D_ERROR * np.ptp(fitted.joints_2d, axis=0).max() + 1e-3):
            raise Wrong(f"a mesh whose joints are {far} pixels off was kept")

    yield attempt


def _change_a_label(sample, rng):
    """Spoils the mask's file, or some numbers of an array, or all of them."""
    names = ("joints_2d", "joints_3d", "intrinsics", "joints_2d_weight", "joints_3d_weight", "mask", "side", "width")
    name = names[rng.integers(len(names))]
    value = getattr(sample, name)
    if name == "mask":
        changed = [b"", mutate(value, rng), mutate(sample.image, rng)][rng.integers(3)]
    elif name in ("side", "width"):
        changed = int(rng.integers(-1, 300 if name == "width" else 2))
    else:
        odd = (0.0, 1.0, -1.0, 1e-6, 1e6, 1e30, np.nan, np.inf)[rng.integers(8)]
        by_factor, somewhere = rng.random() < 0.5, rng.random(value.shape) < (0.2, 1.0)[rng.integers(2)]
        with np.errstate(all="ignore"):
            changed = np.where(somewhere, value * odd if by_factor else odd, value).astype(np.float32)
    setattr(sample, name, changed)


def reader(name: str, split: str, make: Callable) -> Callable:
    """The files of one data set."""

    def door(folder: Path) -> Iterator[Attempt]:
        from pipelines.datasets import open_split
        from pipelines.schema import LeftOut, Sample

        source = folder / "set"
        source.mkdir()
        make(source, np.random.default_rng(0))
        files = sorted(path for path in source.rglob("*") if path.is_file())
        contents = {path: path.read_bytes() for path in files}

        def attempt(rng):
            path = files[rng.integers(len(files))]
            try:
                tree = json.loads(contents[path]) if path.suffix == ".json" and rng.random() < 0.5 else None
            except ValueError:
                tree = None
            damaged = mutate(contents[path], rng) if tree is None else json.dumps(mutate_tree(tree, rng)).encode()
            path.write_bytes(damaged)
            try:
                wrong = [found for _, found in open_split(name, str(source), split).outcomes()]
                wrong = [found for found in wrong if not isinstance(found, (Sample, LeftOut))]
                if wrong:
                    raise wrong[0]
            finally:
                path.write_bytes(contents[path])

        yield attempt

    door.__doc__ = f"The files of {name}."
    return door


def evaluation(folder: Path) -> Iterator[Attempt]:
    """Other people's predictions and reference labels."""
    from hiu_tf.programs.evaluate import main

    rng = np.random.default_rng(0)
    joints, meshes = rng.random((3, 21, 3)), rng.random((3, 778, 3))
    for name, values in (("xyz", joints), ("verts", meshes)):
        (folder / f"evaluation_{name}.json").write_text(json.dumps(values.tolist()))
    (folder / "pred.json").write_text(json.dumps([joints.tolist(), meshes.tolist()]))
    np.savez(folder / "points.npz", joints=joints, weight=np.ones((3, 21)), visible=np.ones((3, 21)))
    contents = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}

    def attempt(rng):
        kind = ("zimmermann", "points.npz", "points.npz") if rng.random() < 0.5 else ("freihand", ".", "pred.json")
        paths = [p for p in contents if (p.suffix == ".npz") == (kind[0] != "freihand")]
        path = paths[rng.integers(len(paths))]
        path.write_bytes(mutate(contents[path], rng))
        try:
            arguments = [
                "--protocol",
                kind[0],
                "--reference",
                str(folder / kind[1]),
                "--predictions",
                str(folder / kind[2]),
            ]
            text = run(main, *arguments, "--json", str(folder / "metrics.json"))
            if re.search(r"\bnan\b", text):
                raise Wrong(f"a metric is nan: {text}")
        finally:
            path.write_bytes(contents[path])

    yield attempt


def _doors():
    from tests.pipelines.datasets import formats
    from tests.pipelines.test_own_data import write_set

    def own(folder, rng):
        write_set(folder, [rng.integers(0, 255, (40, 60, 3), dtype=np.uint8)] * 2)

    def boxes(folder, rng):
        own(folder, rng)
        tree = json.loads((folder / "train.json").read_text())
        for image in tree["images"]:
            image |= {"width": 60, "height": 40}
        for annotation in tree["annotations"]:
            annotation["bbox"] = [5, 5, 10, 10]
        (folder / "train.json").write_text(json.dumps(tree))

    doors = (
        picture,
        clip,
        hand_file,
        mano,
        tflite,
        *([onnx] if find_spec("tf2onnx") else []),  # there is none for Python 3.9
        detector,
        card,
        saved_model,
        recipe,
        records,
        fit,
        evaluation,
        rest,
        grpc,
        signature,
    )
    sets = {
        "rhd": ("train", formats.rhd), "stb": ("train", formats.stb), "freihand": ("train", formats.freihand),
        "cmu": ("train", formats.cmu), "dexter_object": ("test", formats.dexter_object),
        "hiu_data": ("train", formats.hiu_released), "own_data": ("train", own), "no_hand": ("train", boxes),
    }  # fmt: skip
    return {door.__name__: door for door in doors} | {name: reader(name, *rest) for name, rest in sets.items()}


DOORS = _doors()
