"""python tools/demo.py --help: hiu_tf/programs/demo.py."""

from hiu_tf.programs import run

if __name__ == "__main__":
    run("demo")
