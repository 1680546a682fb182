"""python tools/draw_hand.py --help: hiu_tf/programs/draw_hand.py."""

from hiu_tf.programs import run

if __name__ == "__main__":
    run("draw_hand")
