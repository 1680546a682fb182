"""Report of a batch whose loss or gradient is not finite: its content, and which losses and samples are affected."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

from hiu_tf.atomic import written_whole
from hiu_tf.conventions import keys

FOLDER = "bad_batches"
_MOST = 10  # maximum number of reports of a run


def report_bad_batch(
    folder: Path, sets: tuple[str, ...], step, image, targets: dict, errors: dict, norms: dict
) -> None:
    """Writes step_N.json (samples and losses), .npz (all tensors) and .png (the pictures) into the run's folder.

    Args:
      folder: of the run.
      sets: names of the data sets by number.
      step, image, targets, errors: of the batch; errors are {loss: [K, B]}.
      norms: {part of the network: norm of its gradient}.
    """
    folder = folder / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    if len(list(folder.glob("*.json"))) >= _MOST:
        return
    image, targets, errors = np.asarray(image), _arrays(targets), _arrays(errors)
    name = f"step_{int(step):07d}"
    with written_whole(folder / f"{name}.npz") as scratch:
        np.savez_compressed(scratch, image=image, **targets, **{f"loss_{key}": value for key, value in errors.items()})
    shown = np.clip(np.nan_to_num(image), 0, 1)
    with written_whole(folder / f"{name}.png") as scratch:
        cv2.imwrite(str(scratch), (np.concatenate(list(shown), axis=1)[..., ::-1] * 255).astype(np.uint8))
    samples = [_sample(n, sets, image, targets, errors) for n in range(len(image))]
    overflowed = [part for part, norm in norms.items() if not np.isfinite(float(norm))]
    report = {"step": int(step), "gradients_not_finite": overflowed, "samples": samples}
    with written_whole(folder / f"{name}.json") as scratch:
        scratch.write_text(json.dumps(report, indent=1))


def where_it_began(folder: Path) -> str:
    """Describes the last report in a sentence: the step, and what was not finite; "" without a report."""
    reports = sorted((folder / FOLDER).glob("*.json"))
    if not reports:
        return ""
    report = json.loads(reports[-1].read_text())
    for sample in report["samples"]:  # the cause, whatever else is not finite: ReLU hides NaN on some processors
        if sample["inputs_not_finite"]:
            who = (
                " ".join(str(sample[key]) for key in ("set", "sample_id") if key in sample)
                or f"sample {sample['place']}"
            )
            return f" at step {report['step']}, where {', '.join(sample['inputs_not_finite'])} of {who} is not finite"
    losses = sorted({loss for sample in report["samples"] for loss in sample["losses_not_finite"]})
    if losses:
        return f" at step {report['step']}, where {', '.join(losses)} {'is' if len(losses) == 1 else 'are'} not finite"
    parts = ", ".join(report["gradients_not_finite"])
    return f" at step {report['step']}, where all losses are finite and the gradients of {parts} overflow"


def _sample(n, sets, image, targets, errors):
    found = {"place": n}
    if keys.SAMPLE_NAME in targets:
        found["sample_id"] = bytes(targets[keys.SAMPLE_NAME][n]).rstrip(b"\0").decode(errors="replace")
        found["set"] = sets[int(targets[keys.SET_NUMBER][n])]
    not_finite = [name for name, value in {"image": image, **targets}.items() if not np.isfinite(value[n]).all()]
    wrong = [name for name, value in errors.items() if not np.isfinite(value[:, n]).all()]
    return found | {"inputs_not_finite": not_finite, "losses_not_finite": wrong}


def _arrays(tensors):
    return {name: np.asarray(value) for name, value in tensors.items()}
