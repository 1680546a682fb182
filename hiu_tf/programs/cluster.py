"""Writes what a cluster needs to train on several machines: a SLURM script or a Kubernetes manifest.

    hiu cluster slurm --nodes 8 --gpus 8 --out train.sbatch -- \\
        --recipe pipelines/recipes/table2_quantitative.yaml --data /data --out /data/runs/table2
    hiu cluster kubernetes --nodes 8 --gpus 8 --image registry.example/hiu-tf --claim data --out train.yaml -- \\
        --recipe /data/recipes/mine.yaml --data /data/records --out /data/runs/first

The arguments after `--` go to hiu train. One worker runs on each node and trains on all of its GPUs; the workers share the
batch of each step. Records and run have to be on a disk that all nodes share. When a node is lost, all workers end and
start again from the last checkpoint. docs/scale.md computes memory, traffic and time of such a training.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from pathlib import Path
from textwrap import indent

from hiu_tf.atomic import written_whole
from hiu_tf.commands.values import positive, target, whole
from hiu_tf.errors import LostWorker, UserError
from hiu_tf.programs._program import program
from hiu_tf.serving.kit import NAME

_PORT = 2222

_TRAIN = """export TF_CONFIG='{{"cluster": {{"worker": ['"$HIU_WORKERS"']}}, "task": {{"type": "worker", "index": '"$index"'}}}}'
exec hiu train {arguments}"""

_SLURM = """#!/bin/bash
# Trains on {nodes} nodes with {gpus} GPUs each. Written by hiu cluster. To start it: sbatch THIS_FILE
#SBATCH --job-name={name}
#SBATCH --nodes={nodes}
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node={gpus}
#SBATCH --exclusive
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output={name}-%j.txt

set -u
HIU_WORKERS=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | sed 's/.*/"&:{port}"/' | paste -sd, -)
export HIU_WORKERS
srun --kill-on-bad-exit=1 bash -c {worker}
code=$?
# {lost}: a worker lost another one; above 128: a signal ended it. Both start again from the last checkpoint.
if {{ [ $code -eq {lost} ] || [ $code -gt 128 ]; }} && [ "${{SLURM_RESTART_COUNT:-0}}" -lt {restarts} ]; then
  exec scontrol requeue "$SLURM_JOB_ID"
fi
exit $code
"""

_KUBERNETES = """# Trains on {nodes} nodes with {gpus} GPUs each. Written by hiu cluster. To start it: kubectl apply -f THIS_FILE
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec:  # gives each worker a host name
  clusterIP: None
  publishNotReadyAddresses: true
  selector: {{app: {name}}}
  ports: [{{name: workers, port: {port}}}]
---
apiVersion: batch/v1
kind: Job
metadata: {{name: {name}}}
spec:
  completions: {nodes}
  parallelism: {nodes}
  completionMode: Indexed
  backoffLimit: {backoff}  # lost workers start again from the last checkpoint
  template:
    metadata:
      labels: {{app: {name}}}
    spec:
      subdomain: {name}
      restartPolicy: Never
      affinity:  # one worker on each node
        podAntiAffinity:
          requiredDuringSchedulingIgnoredDuringExecution:
            - {{topologyKey: kubernetes.io/hostname, labelSelector: {{matchLabels: {{app: {name}}}}}}}
      containers:
        - name: worker
          image: {image}
          command: [bash, -c]
          args:
            - |
{worker}
          ports: [{{containerPort: {port}}}]
          resources: {{limits: {{nvidia.com/gpu: {gpus}}}}}
          volumeMounts:
            - {{name: data, mountPath: {mount}}}
            - {{name: memory, mountPath: /dev/shm}}
      volumes:
        - {{name: data, persistentVolumeClaim: {{claimName: {claim}}}}}
        - {{name: memory, emptyDir: {{medium: Memory}}}}
"""


def slurm(name: str, nodes: int, gpus: int, restarts: int, arguments: list[str]) -> str:
    """A batch script for SLURM. Arguments as in `kubernetes`."""
    worker = "index=$SLURM_PROCID\n" + _TRAIN.format(arguments=shlex.join(arguments))
    words = {"name": name, "nodes": nodes, "gpus": gpus, "restarts": restarts}
    return _SLURM.format(**words, worker=shlex.quote(worker), lost=LostWorker.exit_code, port=_PORT)


def kubernetes(
    name: str, nodes: int, gpus: int, restarts: int, arguments: list[str], image: str, claim: str, mount: str
) -> str:
    """A manifest for Kubernetes: an indexed Job, and a Service that names its workers.

    Args:
      name: of the job.
      nodes: number of workers, each on a node of its own.
      gpus: of each node.
      restarts: how often all workers may start again.
      arguments: of hiu train.
      image: with hiu-tf[train] installed.
      claim: persistent volume claim (ReadWriteMany) with the records, which also takes the run.
      mount: folder in the containers at which it is mounted.
    """
    workers = f"""HIU_WORKERS=$(seq -s, -f '"{name}-%g.{name}:{_PORT}"' 0 {nodes - 1})"""
    worker = f"index=$JOB_COMPLETION_INDEX\n{workers}\n" + _TRAIN.format(arguments=shlex.join(arguments))
    words = {"name": name, "nodes": nodes, "gpus": gpus, "image": image, "claim": claim, "mount": mount}
    return _KUBERNETES.format(**words, backoff=nodes * restarts, worker=indent(worker, 14 * " "), port=_PORT)


def parse_args(argv):
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("slurm", "kubernetes"), help="of cluster")
    parser.add_argument("--nodes", type=positive, default=8, help="machines (default 8)")
    parser.add_argument("--gpus", type=positive, default=8, help="of each machine (default 8)")
    parser.add_argument("--name", type=_name, default="hiu-train", help="of the job (default hiu-train)")
    parser.add_argument("--restarts", type=whole, default=10, help="how often all may start again (default 10)")
    parser.add_argument("--image", help="kubernetes: a container image with hiu-tf[train] installed")
    parser.add_argument("--claim", help="kubernetes: persistent volume claim of the shared disk (ReadWriteMany)")
    parser.add_argument("--mount", default="/data", help="kubernetes: where workers see that disk (default /data)")
    parser.add_argument("--out", type=target, help="file to write (default: print it)")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.add_argument("arguments", nargs="+", help="after --: arguments of hiu train")
    args = parser.parse_args(argv)
    if args.kind == "kubernetes" and not (args.image and args.claim):
        parser.error("kubernetes needs --image and --claim")
    return args


def _name(text):
    if not NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(f"takes small letters, digits and dashes, from a letter on, got {text!r}")
    return text


def _check_places(places, mount):
    """Refuses folders that are not on the shared disk: containers would miss the records, and lose the run."""
    for option, place in places.items():
        if place and not Path(os.path.normpath(place)).is_relative_to(mount):
            raise UserError(f"{option} {place} is not on the shared disk, which workers see at {mount} (--mount)")


def main(argv=None) -> int:
    """Runs the program; returns the exit code."""
    args = parse_args(argv)
    from hiu_tf.programs.train import parse_args as checked

    given = checked(args.arguments)  # refuse bad arguments here, not on the cluster
    if args.kind == "kubernetes":
        _check_places({"--data": given.data, "--out": given.out}, args.mount)
    text = (
        slurm(args.name, args.nodes, args.gpus, args.restarts, args.arguments)
        if args.kind == "slurm"
        else kubernetes(
            args.name, args.nodes, args.gpus, args.restarts, args.arguments, args.image, args.claim, args.mount
        )
    )
    if not args.out:
        print(text, end="")
        return 0
    with written_whole(args.out) as scratch:
        scratch.write_text(text)
    print(
        f"{args.out}: {args.nodes} nodes of {args.gpus} GPUs. Next: {'sbatch' if args.kind == 'slurm' else 'kubectl apply -f'} {args.out}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(program(main))
