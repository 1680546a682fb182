"""The command `hiu info`: its options, and the function that runs it."""

from hiu_tf.commands import values
from hiu_tf.errors import UserError


def add_info(commands) -> None:
    """Adds the command to the parsers of `hiu`."""
    info = commands.add_parser("info", help="what a model takes and gives, or what a network costs")
    about = info.add_mutually_exclusive_group()
    about.add_argument("--presets", action="store_true", help="parameters, MACs and memory of every preset")
    about.add_argument("--preset", help="the same of one preset (counted from its graph: needs hiu-tf[train])")
    about.add_argument("--recipe", help="memory that a training by this recipe needs (needs hiu-tf[train])")
    info.add_argument("--devices", type=values.positive, help="that share a batch of --recipe (default 1)")
    info.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of that preset or recipe"
    )
    about.add_argument(
        "--model",
        help=".tflite or .onnx file, SavedModel folder, or hiu_edge, the smaller one that ships (default: hiu_mobile)",
    )
    info.add_argument("--debug", action="store_true", help="show the traceback of an error")


def run_info(args) -> int:
    """Prints what was asked for. Returns the exit code."""
    if args.set and not (args.preset or args.recipe):
        raise UserError("--set needs --preset or --recipe")
    if args.devices and not args.recipe:
        raise UserError("--devices needs --recipe")
    if args.presets:
        from hiu_tf.config.preset_costs import COSTS, cost_table

        print(cost_table(COSTS))
        return 0
    if args.recipe:
        return _budget(args.recipe, args.set, args.devices or 1)
    if args.preset:
        return _count(args.preset, args.set)
    from hiu_tf.runtime.backend import load_network
    from hiu_tf.runtime.shipped import shipped_model

    path = args.model or shipped_model()
    _, card, engine = load_network(path)
    print(f"{path}: {card['name']}, made by hiu-tf {card['hiu_tf']}, runs on {engine}")
    print(f"input: {card['input']}")
    for name, text in card["outputs"].items():
        print(f"  {name}: {text}")
    return 0


def _count(preset, settings) -> int:
    """Builds a network and prints its parameters, MACs and memory."""
    from hiu_tf.config.load import parse_setting
    from hiu_tf.config.preset_costs import cost_table
    from hiu_tf.config.presets import model_config
    from hiu_tf.models.cost import network_cost

    changes = dict(map(parse_setting, settings))
    print(cost_table({preset: network_cost(model_config(preset, changes))}))
    return 0


def _budget(path, settings, devices) -> int:
    """Prints what a training needs, for each of its stages."""
    from hiu_tf.config.load import load_recipe, stages
    from hiu_tf.tables import rows_table
    from hiu_tf.training.budget import memory_rows

    for name, stage in stages(load_recipe(path, settings)).items():
        batch, parts = stage.train.batch_size, stage.train.accumulate
        words = (
            f"{stage.model}, {stage.train.precision}, batches of {batch} over {devices} device(s) in {parts} part(s)"
        )
        print(f"{f'stage {name}: ' if name else ''}{words}\n\n{rows_table(memory_rows(stage, devices))}\n")
    return 0
