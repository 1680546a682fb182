"""python tools/input_service.py --help: hiu_tf/programs/input_service.py."""

from hiu_tf.programs import run

if __name__ == "__main__":
    run("input_service")
