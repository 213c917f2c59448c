"""The manifests: valid for Kubernetes, true to the parent's Deployment, and safe where they say so.

Overlays are built with kubectl's or kustomize's own build, where one of them is on the PATH. What
this cannot check: that a cluster admits and runs them.
"""

import re
from collections.abc import Mapping, Sequence

import kubernetes_validate
import pytest

from route_addon.options import OPTIONS
from tests.manifests import (
    FOLDER,
    Manifest,
    build_overlay,
    find_container,
    find_environment,
    find_pods,
    load_manifests,
)

OVERLAYS = ("base", "hardened", "service")
VERSIONS = ("1.29", "1.33", "1.37")
POD_MONITOR = "monitoring.coreos.com/v1"
"""The Prometheus operator's: Kubernetes itself has no schema for it."""


@pytest.fixture(scope="module")
def built() -> Mapping[str, Sequence[Manifest]]:
    """The manifests of each overlay."""
    return {overlay: build_overlay(overlay) for overlay in OVERLAYS}


@pytest.fixture(scope="module")
def hardened(built: Mapping[str, Sequence[Manifest]]) -> Mapping[str, Manifest]:
    """The hardened overlay, by kind."""
    return {manifest["kind"]: manifest for manifest in built["hardened"]}


@pytest.fixture(scope="module", params=["base", "hardened"])
def pod(request: pytest.FixtureRequest, built: Mapping[str, Sequence[Manifest]]) -> Manifest:
    """The router's pod, in each overlay that has one."""
    return next(find_pods(built[request.param]))


def _selects(labels: Mapping[str, str], pod: Manifest) -> bool:
    return bool(labels.items() <= pod["metadata"]["labels"].items())


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_valid(overlay: str, version: str, built: Mapping[str, Sequence[Manifest]]) -> None:
    """Every manifest of Kubernetes' own kinds holds to its schema, with no unknown key."""
    kinds = [
        manifest["kind"]
        for manifest in built[overlay]
        if manifest["apiVersion"] != POD_MONITOR
        and kubernetes_validate.validate(manifest, version, strict=True)
    ]
    assert len(kinds) >= len(built[overlay]) - (overlay == "hardened")


def test_nothing_but_the_image_is_swapped(built: Mapping[str, Sequence[Manifest]]) -> None:
    """The base is the parent's Deployment, with another image."""
    (parents,) = load_manifests((FOLDER / "base" / "deployment.yaml").read_text("utf-8"))
    (ours,) = built["base"]
    assert find_container(parents["spec"]["template"])["image"] == "ghcr.io/abcdesktopio/route:4.4"
    image = find_container(ours["spec"]["template"])["image"]
    assert image == "registry.example/route-addon:0.1.0"
    find_container(parents["spec"]["template"])["image"] = image  # type: ignore[index]
    assert ours == parents


def test_the_chart_s_values(built: Mapping[str, Sequence[Manifest]]) -> None:
    """They name the same image in the parts that the parent's chart joins."""
    (values,) = load_manifests((FOLDER / "values.yaml").read_text("utf-8"))
    image = find_container(next(find_pods(built["base"])))["image"]
    assert "{image}:{tag}".format(**values["router"]) == image


def test_one_service(built: Mapping[str, Sequence[Manifest]], pod: Manifest) -> None:
    """``http-router``, with an address of its own in the cluster, is all that selects the pods."""
    services = [
        one for manifests in built.values() for one in manifests if one["kind"] == "Service"
    ]
    (service,) = [one for one in services if _selects(one["spec"]["selector"], pod)]
    assert services == [service]
    assert service["metadata"]["name"] == "http-router"
    assert service["spec"]["type"] == "ClusterIP"
    assert "clusterIP" not in service["spec"]


def test_environment(pod: Manifest) -> None:
    """Each name is one that an option knows, or the downward API's; none refers to a later one."""
    known = {name for option in OPTIONS for name in option.environment_names}
    names: list[str] = []
    for one in find_container(pod)["env"]:
        assert set(re.findall(r"\$\((\w+)\)", one.get("value", ""))) <= set(names)
        names.append(one["name"])
    assert set(names) <= known | {"POD_IP", "POD_NAME", "POD_NAMESPACE"}


def test_keys_are_mounted(pod: Manifest) -> None:
    """Each key that the environment names lies below a mounted secret."""
    mounts = {one["mountPath"]: one["name"] for one in find_container(pod)["volumeMounts"]}
    volumes = {one["name"]: one for one in pod["spec"]["volumes"]}
    for name, secret in (
        ("JWT_DESKTOP_SIGNING_PUBLIC_KEY", "abcdesktopjwtdesktopsigning"),
        ("JWT_DESKTOP_PAYLOAD_PRIVATE_KEY", "abcdesktopjwtdesktoppayload"),
    ):
        folder, _, _ = find_environment(pod)[name].rpartition("/")
        assert volumes[mounts[folder]]["secret"]["secretName"] == secret


def test_probes(pod: Manifest) -> None:
    """Whatever asks for a sign of life asks where the router answers."""
    container = find_container(pod)
    ports = {one["containerPort"] for one in container["ports"]}
    for name in ("startupProbe", "livenessProbe", "readinessProbe"):
        probe = container.get(name, {}).get("httpGet", {"path": "/healthz", "port": 80})
        assert probe == {"path": "/healthz", "port": 80}
        assert probe["port"] in ports


# --- the hardened overlay


@pytest.fixture(scope="module")
def hardened_pod(hardened: Mapping[str, Manifest]) -> Manifest:
    """Its pod."""
    return hardened["Deployment"]["spec"]["template"]  # type: ignore[no-any-return]


def test_without_root(hardened_pod: Manifest) -> None:
    """Nobody in the pod is root or becomes it, and port 80 is still theirs."""
    context = hardened_pod["spec"]["securityContext"]
    assert context["runAsNonRoot"]
    assert context["runAsUser"] > 0
    ports = {"name": "net.ipv4.ip_unprivileged_port_start", "value": "80"}
    assert context["sysctls"] == [ports]
    assert find_container(hardened_pod)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_only_the_needed_keys_are_there(hardened_pod: Manifest) -> None:
    """Neither the key that signs tokens, nor a file that nobody reads; others cannot read them."""
    environment = find_environment(hardened_pod)
    mounts = {one["name"]: one for one in find_container(hardened_pod)["volumeMounts"]}
    paths = set()
    for volume in hardened_pod["spec"]["volumes"]:
        if "secret" in volume:
            (item,) = volume["secret"]["items"]
            assert volume["secret"]["defaultMode"] == 0o440
            assert mounts[volume["name"]]["readOnly"]
            paths.add(f"{mounts[volume['name']]['mountPath']}/{item['path']}")
    assert paths == {
        environment["JWT_DESKTOP_SIGNING_PUBLIC_KEY"],
        environment["JWT_DESKTOP_PAYLOAD_PRIVATE_KEY"],
    }
    assert all("private" not in path or "payload" in path for path in paths)


def test_the_spool_fits(hardened_pod: Manifest) -> None:
    """A full spool is a 503; a pod over its volume's limit would be evicted."""
    folder = find_environment(hardened_pod)["ROUTE_SPOOL_DIR"]
    mounts = {one["mountPath"]: one["name"] for one in find_container(hardened_pod)["volumeMounts"]}
    volumes = {one["name"]: one for one in hardened_pod["spec"]["volumes"]}
    limit = volumes[mounts[folder]]["emptyDir"]["sizeLimit"]
    spool_bytes = next(one.default for one in OPTIONS if one.name == "route_spool_bytes")
    assert limit.endswith("Gi")
    assert int(limit.removesuffix("Gi")) * 2**30 > int(spool_bytes)


def test_the_drain_fits(hardened_pod: Manifest) -> None:
    """Kubernetes waits for longer than the router drains."""
    environment = find_environment(hardened_pod)
    drains = [int(environment[name]) for name in ("ROUTE_DRAIN", "ROUTE_DRAIN_WEBSOCKETS")]
    assert max(drains) == 3600
    assert hardened_pod["spec"]["terminationGracePeriodSeconds"] >= max(drains) + 30


def test_who_may_come(hardened: Mapping[str, Manifest], hardened_pod: Manifest) -> None:
    """Everybody to the router's own ports, a monitor alone to the metrics."""
    spec = hardened["NetworkPolicy"]["spec"]
    assert _selects(spec["podSelector"]["matchLabels"], hardened_pod)
    everybody, monitor = spec["ingress"]
    assert [one["port"] for one in everybody["ports"]] == [80, 443]
    assert "from" not in everybody
    assert [one["port"] for one in monitor["ports"]] == [9145]
    assert all({"namespaceSelector", "podSelector"} == set(one) for one in monitor["from"])


def test_it_is_watched_and_kept(hardened: Mapping[str, Manifest], hardened_pod: Manifest) -> None:
    """The monitor and the budget select the pods; the port that is asked is one of theirs."""
    monitor, budget = hardened["PodMonitor"]["spec"], hardened["PodDisruptionBudget"]["spec"]
    assert _selects(monitor["selector"]["matchLabels"], hardened_pod)
    assert _selects(budget["selector"]["matchLabels"], hardened_pod)
    (endpoint,) = monitor["podMetricsEndpoints"]
    ports = {one["name"]: one["containerPort"] for one in find_container(hardened_pod)["ports"]}
    assert ports[endpoint["port"]] == 9145
    assert hardened["Deployment"]["spec"]["replicas"] > budget["minAvailable"]
