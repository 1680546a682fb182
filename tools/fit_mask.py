"""python tools/fit_mask.py --help: hiu_tf/programs/fit_mask.py."""

from hiu_tf.programs import run

if __name__ == "__main__":
    run("fit_mask")
