"""The files under deploy/: they parse, name what there is, agree with each other, and the tools that read them accept them."""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.serve.processes.conftest import KEY, LONG, WRITE, Several

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
METRIC = re.compile(r"\b(?:shortlist|process)_[a-z_]+")
MATCHERS = re.compile(r"((?:shortlist|process)_[a-z_]+)\{([^}]*)\}")
MATCHER = re.compile(r'([a-z_]+)(=~|!=|=)"([^"]*)"')
TARGETS = {"instance", "job", "namespace", "pod"}  # labels that Prometheus adds


def documents(path: Path) -> list[Any]:
    return [one for one in yaml.safe_load_all(path.read_text()) if one is not None]


def kubernetes() -> list[dict[str, Any]]:
    folder = DEPLOY / "kubernetes"
    names = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    return [one for name in names for one in documents(folder / name)]


def of_kind(kind: str) -> dict[str, Any]:
    (found,) = (one for one in kubernetes() if one["kind"] == kind)
    return found


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())["groups"]
    return list(group["rules"])


def dashboard() -> dict[str, Any]:
    return dict(json.loads((DEPLOY / "grafana/shortlist.json").read_text()))


def adapter() -> dict[str, Any]:
    return dict(yaml.safe_load((DEPLOY / "kubernetes/prometheus-adapter.yaml").read_text())["rules"]["custom"][0])


def expressions() -> list[str]:
    """Everything that asks Prometheus."""
    board = dashboard()
    return [
        *(rule["expr"] for rule in rules()),
        *(target["expr"] for panel in board["panels"] for target in panel["targets"]),
        *(one["query"] for one in board["templating"]["list"]),
        *(one["expr"] for one in board["annotations"]["list"]),
        adapter()["seriesQuery"],
        adapter()["metricsQuery"].replace("<<.LabelMatchers>>", 'pod="x"'),
    ]


@pytest.fixture(scope="module")
def series(bundles: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, str]]]:
    """The series of a server of two workers that has answered and changed something: labels by name."""
    folder = tmp_path_factory.mktemp("deployed")
    server = Several(bundles / "one", "--state", folder / "state", SHORTLIST_WRITE_KEYS=WRITE)
    try:
        server.answers_of_all()
        body = {"events": [{"query": "cat", "candidate": "a"}]}
        httpx.post(f"{server.url}/v1/events", json=body, headers=KEY, timeout=LONG)
        text = httpx.get(f"{server.url}/metrics", timeout=LONG).text
    finally:
        server.stop()
    found: dict[str, list[dict[str, str]]] = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            name, _, labels = line.rpartition(" ")[0].partition("{")
            found.setdefault(name, []).append({key: value for key, _, value in MATCHER.findall(labels)})
    return found


def test_every_file_parses() -> None:
    for path in DEPLOY.rglob("*"):
        if path.suffix in (".yaml", ".yml"):
            assert documents(path), path
        elif path.suffix == ".json":
            json.loads(path.read_text())


def test_every_metric_and_label_is_the_servers(series: dict[str, list[dict[str, str]]]) -> None:
    made = adapter()["name"]["as"]
    for expression in expressions():
        names = set(METRIC.findall(expression)) - {made}
        assert names <= set(series), f"{expression}: {names - set(series)}"
        for name, matchers in MATCHERS.findall(expression):
            for label, how, value in MATCHER.findall(matchers):
                if label in TARGETS:
                    continue
                values = {labels.get(label) for labels in series[name]}
                assert None not in values, (name, label)
                if how == "=" and label in ("stage", "outcome", "reason", "kind"):
                    assert value in values, f"{expression}: {label} is one of {sorted(map(str, values))}"


def commands() -> dict[str, list[str]]:
    """The words of every command line, by where it stands."""
    found = {}
    docker = (DEPLOY / "Dockerfile").read_text()
    entry = json.loads(re.search(r"^ENTRYPOINT (.*)$", docker, re.MULTILINE)[1])  # type: ignore[index]
    found["Dockerfile"] = entry + json.loads(re.search(r"^CMD (.*)$", docker, re.MULTILINE)[1])  # type: ignore[index]
    found["compose.yaml"] = entry + documents(DEPLOY / "compose.yaml")[0]["services"]["server"]["command"]
    unit = (DEPLOY / "systemd/shortlist.service").read_text()
    found["shortlist.service"] = shlex.split(re.search(r"^ExecStart=(.*)$", unit, re.MULTILINE)[1])  # type: ignore[index]
    found["server.yaml"] = entry + of_kind("Deployment")["spec"]["template"]["spec"]["containers"][0]["args"]
    job = of_kind("CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    found["training.yaml"] = job["containers"][0]["command"]
    (line,) = re.findall(r"^shortlist daily.*$", (DEPLOY / "cron/daily.sh").read_text(), re.MULTILINE)
    found["daily.sh"] = shlex.split(line)
    return found


def test_every_command_line_is_one_that_shortlist_takes() -> None:
    checked = []
    for place, words in commands().items():
        assert Path(words[0]).name == "shortlist", place
        command = importlib.import_module(f"shortlist.cli.{words[1]}").command
        options = {name: one for one in command.params for name in (*one.opts, *one.secondary_opts)}
        rest = iter(words[2:])
        for word in rest:
            if word.startswith("--"):
                assert word in options, f"{place}: {word}"
                assert not getattr(options[word], "hidden", False), f"{place}: {word}"
                if not options[word].is_flag:
                    options[word].type.convert(next(rest), options[word], None)
        checked.append(words[1])
    assert sorted(set(checked)) == ["daily", "serve"]


def test_ports_paths_and_names_agree() -> None:
    docker = (DEPLOY / "Dockerfile").read_text()
    assert "EXPOSE 8080" in docker
    assert "http://127.0.0.1:8080/healthz" in docker
    assert {words[words.index("--port") + 1] for words in commands().values() if words[1] == "serve"} == {"8080"}
    compose = documents(DEPLOY / "compose.yaml")[0]
    assert compose["services"]["server"]["ports"] == ["8080:8080"]
    assert compose["services"]["server"]["read_only"] is True
    (scrape,) = documents(DEPLOY / "prometheus/prometheus.yml")[0]["scrape_configs"]
    assert scrape["static_configs"][0]["targets"] == ["server:8080"]
    assert scrape["job_name"] == "shortlist"
    secret = scrape["authorization"]["credentials_file"].removeprefix("/run/secrets/")
    assert compose["services"]["prometheus"]["secrets"] == [secret]
    variable = compose["secrets"][secret]["environment"]
    assert variable not in compose["services"]["server"]["environment"], (
        "a list of keys is no key: a scrape with it gets 401"
    )
    asked = set(re.findall(r"\$\{(\w+)", (DEPLOY / "compose.yaml").read_text()))
    named = set(re.findall(r"^#\s+(SHORTLIST_\w+)=", (DEPLOY / "compose.yaml").read_text(), flags=re.MULTILINE))
    assert asked == named == {*compose["services"]["server"]["environment"], variable}
    assert 'job="shortlist"' in rules()[0]["expr"]
    mounted = [one.split(":") for one in compose["services"]["grafana"]["volumes"]]
    for source, *_ in mounted + [one.split(":") for one in compose["services"]["prometheus"]["volumes"]]:
        assert not source.startswith("./") or (DEPLOY / source).exists(), source
    (provider,) = documents(DEPLOY / "grafana/provisioning/dashboards/shortlist.yaml")[0]["providers"]
    assert any(target[1].startswith(provider["options"]["path"]) for target in mounted)
    (source,) = documents(DEPLOY / "grafana/provisioning/datasources/prometheus.yaml")[0]["datasources"]
    uids = {target["datasource"]["uid"] for panel in dashboard()["panels"] for target in panel["targets"]}
    assert uids == {source["uid"]}


def test_the_manifests_agree_with_the_server_and_each_other() -> None:
    deployment, service, budget = of_kind("Deployment"), of_kind("Service"), of_kind("PodDisruptionBudget")
    pod = deployment["spec"]["template"]
    labels = pod["metadata"]["labels"]
    for selector in (
        deployment["spec"]["selector"]["matchLabels"],
        service["spec"]["selector"],
        budget["spec"]["selector"]["matchLabels"],
    ):
        assert selector.items() <= labels.items()
    (container,) = pod["spec"]["containers"]
    (port,) = container["ports"]
    assert port["containerPort"] == 8080
    assert pod["metadata"]["annotations"]["prometheus.io/port"] == "8080"
    assert service["spec"]["ports"][0]["targetPort"] == port["name"]
    probes = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "readiness", "liveness")}
    assert {one["port"] for one in probes.values()} == {port["name"]}
    assert {name: one["path"] for name, one in probes.items()} == {
        "startup": "/readyz", "readiness": "/readyz", "liveness": "/healthz",
    }  # fmt: skip
    scaler = of_kind("HorizontalPodAutoscaler")
    assert scaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert scaler["spec"]["metrics"][0]["pods"]["metric"]["name"] == adapter()["name"]["as"]
    claims = {one["metadata"]["name"] for one in kubernetes() if one["kind"] == "PersistentVolumeClaim"}
    training = of_kind("CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    asked = {
        one["persistentVolumeClaim"]["claimName"]
        for spec in (pod["spec"], training)
        for one in spec["volumes"]
        if "persistentVolumeClaim" in one
    }
    assert asked - claims == {"interactions"}  # the user's own
    (secret,) = documents(DEPLOY / "kubernetes/secret.example.yaml")
    assert container["envFrom"][0]["secretRef"]["name"] == secret["metadata"]["name"]
    assert all(len(key) >= 16 for key in secret["stringData"].values())
    for spec in (pod["spec"], training):
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True
        mounts = {one["name"] for one in spec["containers"][0]["volumeMounts"]}
        assert mounts == {one["name"] for one in spec["volumes"]}


PAGES = [ROOT / f"docs/{language}{page}" for language in ("", "ko/") for page in ("operations.md", "guides/daily.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT / "docs")))
def test_what_the_pages_name_is_there(page: Path) -> None:
    for name in re.findall(r"\bdeploy/[\w./-]*\w", page.read_text("utf-8")):
        assert (ROOT / name).exists() or name == "deploy/.env", name


@pytest.mark.parametrize("page", ["operations.md", "ko/operations.md"])
def test_the_commands_of_a_page_come_in_an_order_that_works(page: str) -> None:
    """As one who types them: each needs what those before it made."""
    (block,) = [
        one for one in re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL) if "kubectl" in one
    ]
    namespaces, names = set(), set()
    for words in (shlex.split(line, comments=True) for line in block.splitlines()):
        if words[1:3] == ["apply", "-f"]:
            given = DEPLOY / "kubernetes/secret.example.yaml" if words[3] == "my-secret.yaml" else ROOT / words[3]
            made = documents(given)
        elif words[1:3] == ["apply", "-k"]:
            made = kubernetes()
        else:
            made = []
            assert words[2] in namespaces
            (source,) = [word.removeprefix("--from=") for word in words if word.startswith("--from=")]
            assert source in names
        namespaces |= {one["metadata"]["name"] for one in made if one["kind"] == "Namespace"}
        names |= {f"{one['kind'].lower()}/{one['metadata']['name']}" for one in made}
        assert {one["metadata"]["namespace"] for one in made if "namespace" in one["metadata"]} <= namespaces
    assert {"namespace/shortlist", "deployment/shortlist", "secret/shortlist-keys"} <= names


def test_the_keys_of_compose_are_never_committed() -> None:
    assert "deploy/.env" in (ROOT / ".gitignore").read_text().splitlines()
    page = (ROOT / "docs/operations.md").read_text()
    compose = documents(DEPLOY / "compose.yaml")[0]["services"]
    asked = {*compose["server"]["environment"], *compose["prometheus"]["environment"]}
    assert all(f"{name}=" in page for name in asked)


@pytest.mark.parametrize("page", ["operations.md", "ko/operations.md"])
def test_what_the_unit_needs_is_made_by_the_pages_commands(page: str) -> None:
    (block,) = [
        one
        for one in re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL)
        if "systemctl" in one
    ]
    unit = (DEPLOY / "systemd/shortlist.service").read_text()
    program, _, bundle = re.search(r"^ExecStart=(\S+) (\S+) (\S+)", unit, re.MULTILINE).groups()  # type: ignore[union-attr]
    keys = re.search(r"^EnvironmentFile=(\S+)", unit, re.MULTILINE)[1]  # type: ignore[index]
    assert f"python3 -m venv {Path(program).parents[1]} " in block
    assert f" {keys} " in block
    assert f"shortlist promote {Path(bundle).parent}/my.shortlist {bundle}\n" in block
    at = [block.index(words) for words in ("/bin/pip install", f"{program} promote", "systemctl enable")]
    assert at == sorted(at)  # a new machine has the command once it is installed, at this place


def run(*command: object) -> str:
    done = subprocess.run([str(one) for one in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool (Debian: prometheus)")
def test_promtool_accepts_the_rules_and_they_fire_where_they_shall() -> None:
    run("promtool", "check", "rules", DEPLOY / "prometheus/alerts.yml")
    run("promtool", "test", "rules", DEPLOY / "prometheus/alerts_test.yml")


def test_every_alert_has_a_case_in_which_it_fires() -> None:
    tests = yaml.safe_load((DEPLOY / "prometheus/alerts_test.yml").read_text())["tests"]
    fires = {case["alertname"] for one in tests for case in one["alert_rule_test"] if case.get("exp_alerts")}
    assert fires == {rule["alert"] for rule in rules()}


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd")
def test_systemd_accepts_the_unit_and_finds_little_exposed(tmp_path: Path) -> None:
    unit = (DEPLOY / "systemd/shortlist.service").read_text()
    place = tmp_path / "shortlist.service"
    place.write_text(unit.replace("/opt/shortlist/bin/shortlist", sys.executable))  # the verifier looks for the program
    run("systemd-analyze", "verify", "--man=no", place)
    said = run("systemd-analyze", "security", "--offline=true", "--no-pager", place)
    (level,) = re.findall(r"Overall exposure level for shortlist.service: ([\d.]+)", said)
    assert float(level) <= 2.0


def test_systemd_starts_a_server_that_ends_for_as_long_as_it_does() -> None:
    """A bundle that is not there yet, a full disk and a port that is taken last longer than five starts a second apart."""
    unit = (DEPLOY / "systemd/shortlist.service").read_text()
    before, _, rest = unit.partition("[Service]")
    assert re.search(r"^StartLimitIntervalSec=0$", before, re.MULTILINE)
    assert re.search(r"^Restart=always$", rest, re.MULTILINE)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="systemd is Linux")
def test_the_unit_hides_nothing_of_proc_that_the_server_reads(tmp_path: Path) -> None:
    """ProcSubset=pid leaves processes alone: no instructions of the processor, and no time at which the machine started."""
    from prometheus_client import ProcessCollector

    source = "\n".join(path.read_text("utf-8") for path in (ROOT / "src").rglob("*.py"))
    assert "cpuinfo" in re.findall(r'"/proc/(\w+)"', source)
    (tmp_path / "self").symlink_to("/proc/self")
    assert list(ProcessCollector(registry=None).collect())
    assert list(ProcessCollector(proc=str(tmp_path), registry=None).collect()) == []
    unit = (DEPLOY / "systemd/shortlist.service").read_text()
    assert re.findall(r"^ProcSubset=(?!all)", unit, re.MULTILINE) == []


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl")
def test_kustomize_builds_the_manifests() -> None:
    built = [one for one in yaml.safe_load_all(run("kubectl", "kustomize", DEPLOY / "kubernetes")) if one]
    assert len(built) == len(kubernetes())
    assert {one["metadata"].get("namespace", "shortlist") for one in built} == {"shortlist"}


CODE = """
import os, sys
user = int(sys.argv[1])
if user:
    os.setgroups([]); os.setgid(user); os.setuid(user)
os.chdir("/")
sys.path.insert(0, sys.argv[2])
sys.argv = ["shortlist", *sys.argv[3:]]
from shortlist.cli.main import main
main()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a container's root is Linux")
def test_it_runs_from_a_read_only_tree_without_rights(bundles: Path) -> None:
    """Nothing but --state is written: no home, no temporary folder, the package and the bundle read-only, and nobody's rights
    where this user may give its own away and the interpreter can be read by others."""
    user = 65534 if os.getuid() == 0 and readable_by_all(Path(sys.executable)) else 0
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        shutil.copytree(ROOT / "src/shortlist", root / "site/shortlist", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(bundles / "one", root / "one.shortlist")
        (root / "state").mkdir()
        if user:
            os.chown(root / "state", user, user)
        before = snapshot(root)
        for path in [root, *root.rglob("*")]:
            if path != root / "state":
                path.chmod(0o555 if path.is_dir() else 0o444)
        environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "TMPDIR": "/nonexistent",
                       "SHORTLIST_WRITE_KEYS": WRITE, "PYTHONDONTWRITEBYTECODE": "1"}  # fmt: skip
        command = [sys.executable, "-c", CODE, user, root / "site", "serve", root / "one.shortlist", "--port", 0]
        options = ["--workers", 2, "--state", root / "state"]
        process = subprocess.Popen(
            [str(one) for one in (*command, *options)], stderr=subprocess.PIPE, text=True, env=environment
        )
        assert process.stderr is not None
        lines = []
        try:
            for line in process.stderr:
                lines.append(line)
                if found := re.search(r"http://127\.0\.0\.1:(\d+)/", line):
                    break
            assert found, lines
            url = f"http://127.0.0.1:{found[1]}"
            said = httpx.post(f"{url}/v1/candidates", json={"delete": ["c"]}, headers=KEY, timeout=LONG)
            assert said.json()["deleted"] == 1
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(LONG)
            process.stderr.close()
            for path in [root, *root.rglob("*")]:
                if path.is_dir():
                    path.chmod(0o755)
        assert set(snapshot(root)) - set(before) == {"state/changes.log"}


def readable_by_all(program: Path) -> bool:
    """Whether everybody may read a program and what is above it."""
    real = program.resolve()
    return all(one.stat().st_mode & stat.S_IXOTH for one in (real, *real.parents))


def snapshot(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
