"""python tools/hand_mesh.py --help: hiu_tf/programs/hand_mesh.py."""

from hiu_tf.programs import run

if __name__ == "__main__":
    run("hand_mesh")
