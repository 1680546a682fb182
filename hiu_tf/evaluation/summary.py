"""Figures as a table for people and as JSON for programs."""

from hiu_tf.evaluation.figures import FIGURES
from hiu_tf.tables import markdown_table


def markdown(results: dict[str, dict[str, dict[str, float]]], figures=FIGURES) -> str:
    """{data set: {predictor: {protocol: value}}} as one Markdown table per data set, and the protocols' words."""
    used, parts = set(), []
    for dataset, predictors in results.items():
        names = list(predictors)
        rows = []
        for protocol in figures:
            values = [predictors[name].get(protocol.name) for name in names]
            if any(value is not None for value in values):
                used.add(protocol.name)
                arrow = "↑" if protocol.higher_is_better else "↓"
                rows.append([f"{protocol.name} {arrow} ({protocol.unit})", *map(_number, values)])
        parts += [f"**{dataset}**", "", markdown_table(["figure", *names], rows), ""]
    parts += [f"- {p.name}: {p.words}" for p in figures if p.name in used]
    return "\n".join(parts)


def as_json(results: dict, command: str, figures=FIGURES) -> dict:
    """The same with units and the protocols' words."""
    protocols = {p.name: {"unit": p.unit, "higher_is_better": p.higher_is_better, "words": p.words} for p in figures}
    return {"command": command, "protocols": protocols, "results": results}


def _number(value):
    return "-" if value is None else f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
