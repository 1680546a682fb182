"""python tools/fit_hands.py --help: hiu_tf/programs/fit_hands.py."""

from hiu_tf.programs import run

if __name__ == "__main__":
    run("fit_hands")
