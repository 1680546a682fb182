"""python tools/material.py --help: hiu_tf/programs/material.py."""

from hiu_tf.programs import run

if __name__ == "__main__":
    run("material")
