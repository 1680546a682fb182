"""python tools/compare.py --help: hiu_tf/programs/compare.py."""

from hiu_tf.programs import run

if __name__ == "__main__":
    run("compare")
