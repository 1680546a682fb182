"""python tools/cluster.py --help: hiu_tf/programs/cluster.py."""

from hiu_tf.programs import run

if __name__ == "__main__":
    run("cluster")
