"""python tools/ablate.py --help: hiu_tf/programs/ablate.py."""

from hiu_tf.programs import run

if __name__ == "__main__":
    run("ablate")
