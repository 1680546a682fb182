"""python tools/label.py --help: hiu_tf/programs/label.py."""

from hiu_tf.programs import run

if __name__ == "__main__":
    run("label")
