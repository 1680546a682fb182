"""Error messages name file, record and field: one regression test for each message that once did not."""

import http.server
import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from hiu_tf.atomic import clear_leftovers, locked, written_whole
from hiu_tf.config.load import load_recipe, parse_setting
from hiu_tf.errors import ConfigError, UserError
from hiu_tf.evaluation.benchmarks import POINT_PROTOCOLS, measure
from hiu_tf.html import Page
from hiu_tf.programs import evaluate, prepare
from hiu_tf.programs._measure import Part, batches
from hiu_tf.programs._program import program
from hiu_tf.runtime.backend import load_network
from hiu_tf.runtime.card import ModelError
from hiu_tf.serving import client
from hiu_tf.serving.client import ServingError, connect
from pipelines.datasets import open_split
from pipelines.records import RecordError, damaged_shards
from tests.pipelines.test_own_data import write_set
from tests.places import RECIPES, REPOSITORY

DEMO = RECIPES / "demo.yaml"


# --- records -------------------------------------------------------------------------------------


def damage(shard, place):
    content = bytearray(shard.read_bytes())
    content[place] ^= 1
    shard.write_bytes(content)


@pytest.fixture
def damaged(tmp_path):
    """Two shards of two records, the first one with a flipped bit in its second record."""
    prepare.prepare("synthetic", "4", "val", str(tmp_path / "synthetic"), parts=2)
    shard = tmp_path / "synthetic" / "val-00000-of-00002.tfrecord"
    damage(shard, len(shard.read_bytes()) - 1000)
    return tmp_path, shard


@pytest.mark.long
def test_a_flipped_bit_is_named_by_shard_and_record(damaged):
    root, shard = damaged
    with pytest.raises(RecordError, match=rf"{shard.name}, record 2 cannot be read.*--skip-damaged"):
        list(batches(root / "synthetic", 64, Part(str(root), ["synthetic"])))


@pytest.mark.long
def test_damaged_records_can_be_left_out(damaged, capsys):
    root, shard = damaged
    assert damaged_shards(root / "synthetic", "val") == {str(shard): 1}
    found = list(batches(root / "synthetic", 64, Part(str(root), ["synthetic"], skip_damaged=True)))
    assert sum(len(batch["image"]) for batch in found) == 3
    assert "damaged after 1 records" in capsys.readouterr().err


def test_labels_that_are_no_numbers_do_not_reach_the_metrics(tmp_path, monkeypatch):
    import pipelines.schema

    monkeypatch.setattr(pipelines.schema.np, "isfinite", lambda array: np.ones(np.shape(array), bool))
    from pipelines.records import write_index, write_shard

    ((_, sample),) = open_split("synthetic", "1", "val").outcomes()
    sample.joints_3d[3] = np.nan
    note = write_shard(tmp_path / "val-0.tfrecord", [("0", sample)])
    write_index(tmp_path, "synthetic", "val", {"val-0.tfrecord": note})
    monkeypatch.undo()
    with pytest.raises(RecordError, match=f"sample {sample.sample_id}: joints_3d holds values that are not finite"):
        list(batches(tmp_path, 64, Part(str(tmp_path.parent), [tmp_path.name])))


@pytest.mark.long
def test_another_size_leaves_no_old_shards(tmp_path):
    for size, parts in (("6", 3), ("2", 2)):
        prepare.prepare("synthetic", size, "val", str(tmp_path), parts=parts)
    assert sorted(p.name for p in tmp_path.glob("*.tfrecord")) == [f"val-0000{k}-of-00002.tfrecord" for k in range(2)]


def test_two_programs_do_not_write_one_folder(tmp_path):
    with locked(tmp_path, "hiu prepare"), pytest.raises(UserError, match="is being written by another"):
        prepare.prepare("synthetic", "2", "val", str(tmp_path))
    gone = subprocess.Popen(["true"])
    gone.wait()
    with locked(tmp_path, "x"):  # the lock of a process that was killed is no lock
        text = (tmp_path / "being-written.lock").read_text()
    (tmp_path / "being-written.lock").write_text(f"{text.split()[0]} {gone.pid}")
    with locked(tmp_path, "x"):
        pass


def test_workers_end_with_a_killed_program(tmp_path):
    command = [
        sys.executable,
        "-m",
        "hiu_tf.programs.prepare",
        "synthetic",
        "--source",
        "4000",
        "--split",
        "train",
        "--out",
        str(tmp_path),
    ]
    process = subprocess.Popen(
        [*command, "--workers", "2"], cwd=REPOSITORY, stderr=subprocess.PIPE, start_new_session=True
    )
    deadline = time.time() + 90
    while not list(tmp_path.glob("partial-*")) and time.time() < deadline:
        time.sleep(0.1)
    workers = {int(path.name.split("-")[2]) for path in tmp_path.glob("partial-*")}
    assert workers
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=20)  # nobody holds its standard error
    deadline = time.time() + 20
    while any(map(_runs, workers)) and time.time() < deadline:
        time.sleep(0.1)
    assert not any(map(_runs, workers))
    assert clear_leftovers(tmp_path)
    assert not list(tmp_path.glob("partial-*"))


def _runs(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("name", ["../secret.png", "/etc/hostname"])
def test_files_outside_the_folder_are_not_read(tmp_path, rng, name):
    folder = write_set(tmp_path / "mine", [rng.integers(0, 255, (40, 60, 3), dtype=np.uint8)])
    tree = json.loads((folder / "train.json").read_text())
    tree["images"][0]["file_name"] = name
    (folder / "train.json").write_text(json.dumps(tree))
    ((_, found),) = open_split("own_data", str(folder), "train").outcomes()
    assert "lies outside" in str(found)
    ((_, found),) = open_split("own_data", str(folder), "train", (("allow_outside", "yes"),)).outcomes()
    assert "lies outside" not in str(found)


# --- a full disk ---------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_ends_in_one_line(tmp_path, capsys):
    """RLIMIT_FSIZE simulates a full disk: every write beyond it fails."""
    program_text = (
        "import resource, signal, sys\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))\n"
        "from hiu_tf.programs.prepare import write_part\n"
        "import hiu_tf.programs.prepare as p\nimport multiprocessing\np._done = multiprocessing.Value('q', 0)\n"
        "from hiu_tf.programs._program import program\n"
        "sys.exit(program(lambda: write_part('synthetic', '8', 'val', (), sys.argv[1], 0, 1)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program_text, str(tmp_path)], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "cannot be written" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_errors_of_tensorflow_about_a_disk_are_lines_too(capsys):
    class Foreign(Exception):
        pass

    def fails():
        raise Foreign("RESOURCE_EXHAUSTED: model.pb; No space left on device")

    assert program(fails) == 1
    assert capsys.readouterr().err.startswith("error: RESOURCE_EXHAUSTED")
    with pytest.raises(Foreign):
        program(lambda: (_ for _ in ()).throw(Foreign("a mistake of ours")))


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(OSError), written_whole(tmp_path / "a.txt") as scratch:
        scratch.write_text("half")
        raise OSError("No space left on device")
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"] and (tmp_path / "a.txt").read_text() == "old"


@pytest.mark.parametrize("name", ["predict", "prepare"])
def test_an_output_that_is_a_file(name, tmp_path, capsys):
    from hiu_tf.cli import main as hiu

    (tmp_path / "out").write_text("a file of the user's")
    (tmp_path / "a.png").write_bytes(b"x")
    programs = {
        "predict": lambda: hiu(["predict", str(tmp_path / "a.png"), "--out", str(tmp_path / "out")]),
        "prepare": lambda: prepare.main(
            ["synthetic", "--source", "2", "--split", "val", "--out", str(tmp_path / "out")]
        ),
    }
    assert program(programs[name]) == 1
    assert "out" in capsys.readouterr().err.splitlines()[-1]
    assert (tmp_path / "out").read_text() == "a file of the user's"


# --- models --------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [100, -100, "middle"])
def test_a_damaged_file_is_refused_by_its_checksum(exported_once, tmp_path, place):
    content = bytearray((exported_once / "tiny.tflite").read_bytes())
    content[len(content) // 2 if place == "middle" else place] ^= 4
    (tmp_path / "m.tflite").write_bytes(content)
    with pytest.raises(ModelError, match="is damaged|no model card|card"):
        load_network(tmp_path / "m.tflite")


def test_a_damaged_graph_is_refused_by_its_checksum(exported_once, tmp_path):
    import shutil

    shutil.copytree(exported_once, tmp_path / "tiny")
    graph = tmp_path / "tiny" / "1" / "saved_model.pb"
    damage(graph, 5000)
    with pytest.raises(ModelError, match="saved_model.pb is damaged"):
        load_network(tmp_path / "tiny")


# --- settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "setting",
    [
        "train.steps=[",
        "train.steps=2020-13-45",
        "train.steps=!!int x",
        "data={[1]: 2}",
        "loss={pof: 1, pof: 2}",
        "=3",
        "steps",
    ],
)
def test_settings_that_are_no_yaml(setting):
    with pytest.raises(ConfigError, match="setting"):
        parse_setting(setting)


def test_hiu_info_takes_settings_the_same_way(capsys):
    from hiu_tf.cli import main

    assert main(["info", "--preset", "hiu_1stack", "--set", "stacks=["]) == 1
    assert "no valid YAML" in capsys.readouterr().err


def test_an_unknown_setting_names_those_that_are_spelt_alike():
    with pytest.raises(ConfigError, match="there is no setting 'stepz': did you mean steps"):
        load_recipe(DEMO, ["train.stepz=3"])


# --- metrics and pages ---------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e200])
def test_reference_labels_that_are_no_numbers(bad):
    joints = np.random.default_rng(0).random((2, 21, 3))
    labelled = {"joints": joints.copy(), "weight": np.ones((2, 21)), "visible": np.ones((2, 21))}
    labelled["joints"][1, 4] = bad
    with pytest.raises(UserError, match="the labels hold joints"):
        measure(POINT_PROTOCOLS["zimmermann"], {"joints": joints}, labelled)
    labelled["weight"][1, 4] = 0  # what does not count may be anything
    assert np.isfinite(measure(POINT_PROTOCOLS["ge"], {"joints": joints}, labelled)["auc"])


def test_a_dollar_in_a_name_starts_no_formula(tmp_path):
    page = Page("a")
    page.curves({"loss $\\frac{$": {"$x_{": ([0, 1], [1, 2])}})
    page.write(tmp_path / "page.html")
    assert "<img" in (tmp_path / "page.html").read_text() or "svg" in (tmp_path / "page.html").read_text()


def test_a_junk_mano_file_is_told_what_is_wanted(tmp_path):
    from hiu_tf.hand.mano import read_mano

    (tmp_path / "MANO_RIGHT.pkl").write_bytes(b"n" * 100)
    with pytest.raises(UserError, match="is it MANO_RIGHT.pkl or MANO_LEFT.pkl"):
        read_mano(tmp_path / "MANO_RIGHT.pkl")


# --- servers -------------------------------------------------------------------------------------


class Server:
    """A server that answers every request by one function of the handler."""

    def __init__(self, answer):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                answer(self)

            do_GET = do_POST

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return f"127.0.0.1:{self._server.server_address[1]}"

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()


def replying(content, code=200, length=None):
    def answer(handler):
        handler.send_response(code)
        handler.send_header("Content-Length", str(len(content) if length is None else length))
        handler.end_headers()
        handler.wfile.write(content)

    return answer


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[]", "holds no 'outputs'"), (b"{}", "holds no 'outputs'"), (b'{"outputs": 3}', "not one of an exported"),
        (b'{"outputs": {"a": [[1], [2, 3]]}}', "'a' is no array"), (b'{"outputs": {"a": "text"}}', "'a' is no array"),
        (b"[" * 100_000, "does not answer in JSON"), (b"<html>", "does not answer in JSON"),
    ],
)  # fmt: skip
def test_answers_of_other_shapes(content, message):
    with Server(replying(content)) as address, pytest.raises(ServingError, match=message):
        connect(address).predict("mesh", image_bytes=[b""])


def test_an_answer_that_claims_99_gigabytes():
    with Server(replying(b"{", length=99 << 30)) as address, pytest.raises(ServingError, match="claims an answer"):
        connect(address).predict("mesh", image_bytes=[b""])


def test_an_answer_that_drips_ends_at_the_deadline(monkeypatch):
    monkeypatch.setattr(client, "_RETRIES", 1)

    def drip(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        for _ in range(100):
            handler.wfile.write(b" ")
            time.sleep(0.1)

    start = time.time()
    with Server(drip) as address, pytest.raises(ServingError, match="too early|no answer"):
        connect(address, timeout=0.6).predict("mesh", image_bytes=[b""])
    assert time.time() - start < 5


def test_a_404_is_final_and_quick():
    start = time.time()
    answer = replying(b'{"error": "Servable not found"}', 404)
    with Server(answer) as address, pytest.raises(ServingError, match="answers 404: Servable not found"):
        connect(address).predict("mesh", image_bytes=[b""])
    assert time.time() - start < 2


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_inputs_that_json_does_not_know(bad):
    with pytest.raises(ServingError, match="must be finite"):
        connect("127.0.0.1:9").predict("tensor", image=np.full((1, 2, 2, 3), bad))


def test_the_metrics_program_refuses_a_nan(tmp_path, capsys):
    joints = np.random.default_rng(0).random((2, 21, 3))
    np.savez(tmp_path / "good.npz", joints=joints)
    np.savez(tmp_path / "bad.npz", joints=np.where(np.arange(21)[:, None] == 3, np.nan, joints))
    arguments = ["--protocol", "zimmermann", "--reference", str(tmp_path / "bad.npz")]
    assert program(lambda: evaluate.main([*arguments, "--predictions", str(tmp_path / "good.npz")])) == 1
    assert "the labels" in capsys.readouterr().err
