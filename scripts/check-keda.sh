#!/usr/bin/env bash
# Checks deploy/keda without a cluster: the Deployments against Kubernetes' own schemas, KEDA's
# objects against deploy/keda/keda.schema.json; and deploy/systemd where systemd is there. What
# checks them is a Python package that is fetched once.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=${XDG_CACHE_HOME:-$HOME/.cache}/quaestor/kubernetes-validate
if [[ ! -d $tools/kubernetes_validate ]] &&
    ! python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore \
        --target "$tools" kubernetes-validate==1.37.0; then
    echo "keda: not checked, because pip could not fetch kubernetes-validate" >&2
    exit 0
fi
PYTHONPATH=$tools python3 - deploy/keda <<'PYTHON'
import json
import pathlib
import sys

import jsonschema
import kubernetes_validate
import yaml

folder = pathlib.Path(sys.argv[1])
ours = jsonschema.Draft202012Validator(json.loads((folder / "keda.schema.json").read_text()))
found, wrong = {}, []
for path in sorted(folder.glob("*.yaml")):
    for thing in yaml.safe_load_all(path.read_text()):
        kind, name = thing["kind"], thing["metadata"]["name"]
        place = f"{path}: {kind} {name}"
        if (kind, name) in found:
            wrong.append(f"{place}: it is there twice")
        found[kind, name] = thing
        if thing["apiVersion"].startswith("keda.sh/"):
            error = jsonschema.exceptions.best_match(ours.iter_errors(thing))
            if error:
                wrong.append(f"{place}: {error.json_path}: {error.message}"[:400])
            continue
        try:
            kubernetes_validate.validate(thing, "1.30", strict=True)
        except kubernetes_validate.ValidationError as error:
            wrong.append(f"{place}: {error.message}")
for (kind, name), thing in found.items():
    if kind == "ScaledObject":
        target = thing["spec"]["scaleTargetRef"]["name"]
        if ("Deployment", target) not in found:
            wrong.append(f"{name}: there is no Deployment {target}")
        for trigger in thing["spec"]["triggers"]:
            named = trigger.get("authenticationRef", {}).get("name")
            if named and ("TriggerAuthentication", named) not in found:
                wrong.append(f"{name}: there is no TriggerAuthentication {named}")
    if kind == "TriggerAuthentication":
        for secret in thing["spec"]["secretTargetRef"]:
            if secret["key"] not in found.get(("Secret", secret["name"]), {}).get("stringData", {}):
                wrong.append(f"{name}: there is no Secret {secret['name']} with {secret['key']}")
if wrong:
    sys.exit("\n".join(wrong))
PYTHON
if command -v systemd-analyze >/dev/null; then
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    # The program need not be installed where its units are checked.
    for unit in deploy/systemd/*.service; do
        sed 's#/usr/local/bin/quaestor#/bin/true#' "$unit" >"$folder/${unit##*/}"
    done
    said=$(systemd-analyze verify --man=no --recursive-errors=no "$folder/quaestor-scaler.service" \
        "$folder/quaestor-worker@.service" 2>&1) || { echo "$said" >&2; exit 1; }
fi
echo "keda: the objects are sound"
