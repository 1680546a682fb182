"""python tools/evaluate.py --help: hiu_tf/programs/evaluate.py."""

from hiu_tf.programs import run

if __name__ == "__main__":
    run("evaluate")
