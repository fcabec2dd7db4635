"""The files of deploy/ray: pods against Kubernetes' own schemas, the cluster file by Ray's own check, the rest by its fields."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "ray"
JOB = yaml.safe_load((FOLDER / "rayjob.yaml").read_text())

# The fields of KubeRay's RayJob that are used here, from the types its CRD is generated from (ray.io/v1, KubeRay 1.4).
FIELDS = {
    "spec": {
        "entrypoint": str,
        "shutdownAfterJobFinishes": bool,
        "ttlSecondsAfterFinished": int,
        "backoffLimit": int,
        "submitterPodTemplate": dict,
        "rayClusterSpec": dict,
    },
    "cluster": {"headGroupSpec": dict, "workerGroupSpecs": list},
    "head": {"rayStartParams": dict, "template": dict},
    "worker": {
        "groupName": str,
        "replicas": int,
        "minReplicas": int,
        "maxReplicas": int,
        "rayStartParams": dict,
        "template": dict,
    },
}
CLUSTER = JOB["spec"]["rayClusterSpec"]
GROUPS = [CLUSTER["headGroupSpec"], *CLUSTER["workerGroupSpecs"]]


@pytest.mark.parametrize(
    ("part", "fields"),
    [
        (JOB["spec"], FIELDS["spec"]),
        (CLUSTER, FIELDS["cluster"]),
        (GROUPS[0], FIELDS["head"]),
        (GROUPS[1], FIELDS["worker"]),
    ],
    ids=["job", "cluster", "head", "workers"],
)
def test_the_manifest_has_fields_of_the_custom_resource_only(part, fields):
    assert {name: type(value) for name, value in part.items()} == fields


def test_ray_s_start_parameters_are_words():
    assert all(isinstance(v, str) for group in GROUPS for v in group["rayStartParams"].values())


@pytest.mark.parametrize(
    "template",
    [JOB["spec"]["submitterPodTemplate"], *(group["template"] for group in GROUPS)],
    ids=["submitter", "head", "workers"],
)
def test_pods_are_pods_of_kubernetes(template):
    validate = pytest.importorskip("kubernetes_validate")
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": template["spec"]}
    validate.validate(pod, validate.latest_version(), strict=True)
    with pytest.raises(validate.ValidationError):  # it does look
        validate.validate(
            pod | {"spec": {**pod["spec"], "nosuchfield": 1}}, validate.latest_version(), strict=True
        )


def test_every_container_has_the_token_and_the_store():
    for group in GROUPS:
        (container,) = group["template"]["spec"]["containers"]
        assert {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN"} == {variable["name"] for variable in container["env"]}
        assert "/store" in {mount["mountPath"] for mount in container["volumeMounts"]}


def test_the_command_is_one_of_ours():
    from typer.main import get_command

    from tausweep.orchestrator.cli.app import app

    words = JOB["spec"]["entrypoint"].split()
    assert words[:2] == ["tausweep", "submit"]
    command = get_command(app).commands["submit"]
    parsed = command.make_context("submit", words[2:]).params
    assert parsed["executor"] == "ray"
    assert parsed["watch"]


@pytest.mark.ray
def test_the_cluster_file_passes_ray_s_own_check():
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = yaml.safe_load((FOLDER / "cluster.yaml").read_text())
    validate_config(prepare_config(config))
    started = [
        c for part in ("head", "worker") for c in config[f"{part}_start_ray_commands"] if " start " in c
    ]
    assert all("RAY_AUTH_MODE=token" in command for command in started)
    assert "--dashboard-host=127.0.0.1" in started[0]


def test_the_dev_cluster_script_says_what_it_does_and_refuses_other_words():
    script = FOLDER / "dev-cluster"
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
    done = subprocess.run([script, "reboot"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "dev-cluster up" in done.stderr


@pytest.mark.ray
def test_the_dev_cluster_says_that_its_port_is_taken(tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.2", 0)) as taken:
        monkeypatch.setenv("CLUSTER_PORT", str(taken.getsockname()[1]))
        monkeypatch.setenv("RAY_DEV_CLUSTER", str(tmp_path))
        monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        done = subprocess.run([FOLDER / "dev-cluster", "up"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "is in use by another program; set CLUSTER_PORT" in done.stderr
