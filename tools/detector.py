"""python tools/detector.py --help: hiu_tf/programs/detector.py."""

from hiu_tf.programs import run

if __name__ == "__main__":
    run("detector")
