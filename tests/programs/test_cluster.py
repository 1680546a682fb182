"""SLURM scripts and Kubernetes manifests: every worker gets its place in the cluster; what starts again, and what does not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from hiu_tf.errors import LostWorker, UserError
from hiu_tf.programs.cluster import kubernetes, main, slurm
from hiu_tf.training.distribution import _checked_cluster

#: Arguments with everything that shells take for themselves.
ARGUMENTS = ["--recipe", "my recipe's.yaml", "--data", "$HOME", "--out", 'a "b"', "--set", "data.*.ssl=0"]


@pytest.fixture
def stand_ins(tmp_path):
    """A folder with programs of the names of a cluster's: `hiu` notes its cluster and arguments; $ENDS is its exit code."""
    folder, notes = tmp_path / "bin", tmp_path / "notes"
    folder.mkdir()
    notes.mkdir()
    programs = {
        "hiu": f"""#!{sys.executable}
import json, os, sys, pathlib
config = json.loads(os.environ["TF_CONFIG"])
pathlib.Path({str(notes)!r}, str(config["task"]["index"])).write_text(json.dumps([config, sys.argv[1:]]))
sys.exit(int(os.environ.get("ENDS", 0)))
""",
        "scontrol": f"""#!/bin/bash
case "$1" in
  show) printf 'node%s\\n' 1 2 3 ;;
  *) echo "$@" > {notes}/scontrol ;;
esac
""",
        "srun": """#!/bin/bash
shift
for SLURM_PROCID in 0 1 2; do export SLURM_PROCID; "$@" || code=$?; done
exit ${code:-0}
""",
    }
    for name, text in programs.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder, notes


def environment(folder, **values):
    return os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"} | values


def workers(notes):
    found = [json.loads((notes / str(index)).read_text()) for index in range(3)]
    for index, (config, arguments) in enumerate(found):
        _checked_cluster(json.dumps(config))
        assert config["task"] == {"type": "worker", "index": index}
        assert arguments == ["train", *ARGUMENTS]
    return [config["cluster"]["worker"] for config, _ in found]


def start(script, folder, **values):
    return subprocess.run(
        ["bash", "-c", script],
        env=environment(folder, SLURM_JOB_NODELIST="node[1-3]", SLURM_JOB_ID="7", **values),
        check=False,
    ).returncode


def test_slurm_starts_a_worker_on_each_node(stand_ins):
    folder, notes = stand_ins
    script = slurm("mine", 3, 8, 4, ARGUMENTS)
    assert start(script, folder) == 0
    assert workers(notes) == [["node1:2222", "node2:2222", "node3:2222"]] * 3
    assert not (notes / "scontrol").exists()
    options = [line for line in script.splitlines() if line.startswith("#SBATCH")]
    assert {"#SBATCH --nodes=3", "#SBATCH --gpus-per-node=8", "#SBATCH --ntasks-per-node=1"} <= {*options}


@pytest.mark.parametrize(
    ("ends", "restarted", "again"),
    [(LostWorker.exit_code, 0, True), (137, 3, True), (137, 4, False), (1, 0, False), (2, 0, False)],
)
def test_slurm_starts_again_after_a_lost_worker_alone(stand_ins, ends, restarted, again):
    folder, notes = stand_ins
    code = start(slurm("mine", 3, 8, 4, ARGUMENTS), folder, ENDS=str(ends), SLURM_RESTART_COUNT=str(restarted))
    assert (notes / "scontrol").exists() == again
    assert code == (0 if again else ends)
    if again:
        assert (notes / "scontrol").read_text() == "requeue 7\n"


def manifest():
    return kubernetes("mine", 3, 8, 4, ARGUMENTS, "registry.example/hiu-tf:1", "records", "/data")


def test_kubernetes_names_every_worker(stand_ins):
    folder, notes = stand_ins
    service, job = yaml.safe_load_all(manifest())
    spec = job["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    for index in range(3):
        given = environment(folder, JOB_COMPLETION_INDEX=str(index))
        subprocess.run([*container["command"], *container["args"]], env=given, check=True)
    # Pods of an indexed Job have the host name JOB-INDEX in the subdomain of the headless service.
    assert workers(notes) == [[f"mine-{k}.mine:2222" for k in range(3)]] * 3
    assert spec["subdomain"] == service["metadata"]["name"] == "mine" and service["spec"]["clusterIP"] == "None"
    assert service["spec"]["selector"] == job["spec"]["template"]["metadata"]["labels"]
    assert (job["spec"]["completions"], job["spec"]["parallelism"], job["spec"]["completionMode"]) == (3, 3, "Indexed")
    assert container["resources"]["limits"] == {"nvidia.com/gpu": 8}


def test_kubernetes_takes_the_manifest():
    """Against the strict schemas of Kubernetes' own types."""
    validate = pytest.importorskip("kubernetes_validate")
    resources = list(yaml.safe_load_all(manifest()))
    for resource in resources:
        validate.validate(resource, "1.29", strict=True)
    resources[1]["spec"]["completionsMode"] = "Indexed"
    with pytest.raises(validate.ValidationError):
        validate.validate(resources[1], "1.29", strict=True)


def test_the_program_writes_a_file_and_refuses_bad_arguments(tmp_path, capsys):
    out = tmp_path / "train.sbatch"
    training = ["--recipe", "r.yaml", "--data", "d", "--out", "o"]
    assert main(["slurm", "--nodes", "2", "--out", str(out), "--", *training]) == 0
    assert "#SBATCH --nodes=2" in out.read_text() and "sbatch" in capsys.readouterr().out
    for bad, words in (
        (["kubernetes", "--", *training], "kubernetes needs --image and --claim"),
        (["slurm", "--name", "My job", "--", *training], "takes small letters"),
        (["slurm", "--", "--recipe", "r.yaml"], "required: --data"),
    ):
        with pytest.raises(SystemExit):
            main(bad)
        assert words in capsys.readouterr().err


@pytest.mark.parametrize("change", [{"--out": "runs/o"}, {"--data": "/database"}, {"--out": "/data/../o"}])
def test_kubernetes_wants_records_and_run_on_the_shared_disk(change, capsys):
    given = {"--recipe": "r.yaml", "--data": "/data/d", "--out": "/data/o"}
    line = lambda places: [
        "kubernetes",
        "--image",
        "i",
        "--claim",
        "c",
        "--",
        *(w for pair in places.items() for w in pair),
    ]
    assert main(line(given)) == 0
    with pytest.raises(UserError, match="is not on the shared disk, which workers see at /data"):
        main(line(given | change))


def test_the_script_is_valid_bash(tmp_path):
    path = Path(tmp_path / "x.sbatch")
    path.write_text(slurm("mine", 3, 8, 4, ARGUMENTS))
    assert subprocess.run(["bash", "-n", str(path)], check=False).returncode == 0
