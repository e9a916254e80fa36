"""What helm rendered, object by object: checked against Kubernetes' own schemas, and turned into plain manifests.

    objects.py validate NAME RELEASE… <rendered     every object is known and well-formed in each Kubernetes release
    objects.py plain DIRECTORY <rendered            writes DIRECTORY/*.yaml: what `kubectl apply` needs, without Helm's traces

It never talks to a cluster.
"""

import pathlib
import sys

import kubernetes_validate
import yaml

# Objects of others' definitions: kubernetes has no schema for them; their own checks are elsewhere.
OTHERS = ("monitoring.coreos.com/v1",)
HELM_LABELS = ("helm.sh/chart", "app.kubernetes.io/managed-by", "app.kubernetes.io/instance")
HEAD = """# Written by `UPDATE=1 scripts/chart/check.sh` from deploy/chart with its default values; change it there.
"""


def objects(stream):
    return [document for document in yaml.safe_load_all(stream) if document]


def validate(name, releases):
    found = objects(sys.stdin)
    if not found:
        sys.exit(f"{name}: nothing was rendered")
    seen = set()
    for document in found:
        label = f"{document['kind']}/{document['metadata']['name']}"
        if label in seen:
            sys.exit(f"{name}: {label} is rendered twice")
        seen.add(label)
        if document["apiVersion"] in OTHERS:
            continue
        for release in releases:
            try:
                kubernetes_validate.validate(document, release, strict=True)
            except kubernetes_validate.ValidationError as error:
                where = ".".join(str(part) for part in error.path)
                sys.exit(f"{name}: {label}, Kubernetes {release}, {where}: {error.message}")
    print(f"{name}: {len(found)} objects fit Kubernetes {', '.join(releases)}")


def without_helm(value):
    """Labels that only Helm reads are dropped, in selectors and templates too."""
    if isinstance(value, dict):
        return {key: without_helm(part) for key, part in value.items() if key not in HELM_LABELS}
    if isinstance(value, list):
        return [without_helm(part) for part in value]
    return value


def is_hook(document):
    return "helm.sh/hook" in document["metadata"].get("annotations", {})


def pod(name, labels, spec, policy):
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels},
        "spec": {**spec, "restartPolicy": policy},
    }


def plain(directory):
    found = [without_helm(document) for document in objects(sys.stdin)]
    store = [document for document in found if not is_hook(document) and document["kind"] != "Deployment"]
    # The client of `helm test` is a pod of its own here, and the toolbox a bare pod to `kubectl exec` into.
    check = next(document for document in found if document["metadata"]["name"] == "almadia-check")
    client = pod("almadia-client", {"app.kubernetes.io/name": "almadia-client", "almadia-client": "true"}, check["spec"], "Never")
    toolbox = next(document for document in found if document["kind"] == "Deployment")
    idle = toolbox["spec"]["template"]
    test = pod("almadia-test", {"app.kubernetes.io/name": "almadia-test", "almadia-client": "true"}, idle["spec"], "Always")
    for name, documents in (("almadia", store), ("client-pod", [client]), ("test-pod", [test])):
        text = HEAD + yaml.safe_dump_all(documents, sort_keys=False, width=200, explicit_start=True)
        pathlib.Path(directory, f"{name}.yaml").write_text(text)


def main():
    match sys.argv[1:]:
        case ["validate", name, *releases] if releases:
            validate(name, releases)
        case ["plain", directory]:
            plain(directory)
        case _:
            sys.exit(__doc__)


main()
