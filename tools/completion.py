"""python tools/completion.py --help: hiu_tf/programs/completion.py."""

from hiu_tf.programs import run

if __name__ == "__main__":
    run("completion")
