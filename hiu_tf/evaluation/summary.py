"""Metrics as a Markdown table and as JSON."""

from hiu_tf.evaluation.metrics import METRICS
from hiu_tf.tables import markdown_table


def markdown(results: dict[str, dict[str, dict[str, float]]], metrics=METRICS) -> str:
    """Formats {data set: {predictor: {metric: value}}} as a Markdown table per data set, with the protocols used."""
    used, parts = set(), []
    for dataset, predictors in results.items():
        names = list(predictors)
        rows = []
        for protocol in metrics:
            values = [predictors[name].get(protocol.name) for name in names]
            if any(value is not None for value in values):
                used.add(protocol.name)
                arrow = "↑" if protocol.higher_is_better else "↓"
                rows.append([f"{protocol.name} {arrow} ({protocol.unit})", *map(_number, values)])
        parts += [f"**{dataset}**", "", markdown_table(["metric", *names], rows), ""]
    parts += [f"- {p.name}: {p.words}" for p in metrics if p.name in used]
    return "\n".join(parts)


def as_json(results: dict, command: str, metrics=METRICS) -> dict:
    """Converts the same results to JSON data with units and descriptions of the protocols."""
    protocols = {p.name: {"unit": p.unit, "higher_is_better": p.higher_is_better, "words": p.words} for p in metrics}
    return {"command": command, "protocols": protocols, "results": results}


def _number(value):
    return "-" if value is None else f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
