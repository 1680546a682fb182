"""python tools/convert_mano.py --help: hiu_tf/programs/convert_mano.py."""

from hiu_tf.programs import run

if __name__ == "__main__":
    run("convert_mano")
