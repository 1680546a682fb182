"""python tools/benchmark.py --help: hiu_tf/programs/benchmark.py."""

from hiu_tf.programs import run

if __name__ == "__main__":
    run("benchmark")
