"""python tools/gestures.py --help: hiu_tf/programs/gestures.py."""

from hiu_tf.programs import run

if __name__ == "__main__":
    run("gestures")
