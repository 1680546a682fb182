"""python tools/export.py --help: hiu_tf/programs/export.py."""

from hiu_tf.programs import run

if __name__ == "__main__":
    run("export")
