"""python tools/launch.py --help: hiu_tf/programs/launch.py."""

from hiu_tf.programs import run

if __name__ == "__main__":
    run("launch")
