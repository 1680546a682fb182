"""python tools/build_hand.py --help: hiu_tf/programs/build_hand.py."""

from hiu_tf.programs import run

if __name__ == "__main__":
    run("build_hand")
