"""python tools/prepare.py --help: hiu_tf/programs/prepare.py."""

from hiu_tf.programs import run

if __name__ == "__main__":
    run("prepare")
