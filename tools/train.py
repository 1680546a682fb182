"""python tools/train.py --help: hiu_tf/programs/train.py."""

from hiu_tf.programs import run

if __name__ == "__main__":
    run("train")
