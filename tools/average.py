"""python tools/average.py --help: hiu_tf/programs/average.py."""

from hiu_tf.programs import run

if __name__ == "__main__":
    run("average")
