#!/usr/bin/env python3
"""Measures a front and a worker beside FastAPI with Celery and with taskiq, in one run.

usage: scripts/services.sh with python3 benches/peers/run.py [--reps N] [chat|accept]...

Uses the peers and the harness of ../shared/peer_bench, and the servers that run. The
peers' Python packages go into a folder of the cache; the harness is built once there.
Prints the medians over valid runs; `--out` keeps every run as a JSON line.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.dirname(HERE))
import services  # noqa: E402, beside this folder
CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "quaestor/peers")
KEY = "a-key-for-benches-0123456789"
PORT = 5690
PACKAGES = "celery fastapi uvicorn[standard] redis[hiredis] httpx openai psutil amqp taskiq taskiq-aio-pika aiohttp orjson"
REPORT = """# Third quarter report

Revenue growth in Q3 was 12.5 %, after 9.1 % in the quarter before. Revenue was 418 million euro.
"""
# The model's tokens and the microseconds between them, as the harness tells it.
SPACED, AT_ONCE = "fake:64:1000:0", "fake:64:0:0"
SYSTEMS = "peer,peer_async_best,ours"


def tools(shared):
    """The peers' interpreter and the harness, made where they are missing."""
    venv = os.path.join(CACHE, "venv")
    if not os.path.exists(os.path.join(venv, "bin/taskiq")):
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run([os.path.join(venv, "bin/pip"), "install", "-q", *PACKAGES.split()], check=True)
    target = os.path.join(CACHE, "harness")
    subprocess.run(
        ["cargo", "build", "--release", "--quiet", "--manifest-path", os.path.join(shared, "peer_bench/harness/Cargo.toml")],
        env={**os.environ, "CARGO_TARGET_DIR": target},
        check=True,
    )
    return os.path.join(venv, "bin"), os.path.join(target, "release/qbench")


def environment(binary, scratch):
    """A fresh installation on the servers that run, with one document in it."""
    env = dict(os.environ)
    env.update(services.fresh("quaestor_bench"))
    env.update(
        QUAESTOR_OBJECTS_URL=f"file:{scratch}/objects",
        QUAESTOR_DATA_DIR=scratch,
        QUAESTOR_ADMIN_KEY=KEY,
        QUAESTOR_EMBED="none",
        QUAESTOR_LOG__FILTER="warn",
        QUAESTOR_SERVER__QUOTAS__ASKS_BURST="1000000",
        QUAESTOR_SERVER__QUOTAS__ASKS_PER_MINUTE="1000000",
        QUAESTOR_SERVER__QUOTAS__REQUESTS_BURST="1000000",
        QUAESTOR_SERVER__QUOTAS__REQUESTS_PER_MINUTE="1000000",
        QUAESTOR_WORKERS__SLOTS__CHAT_GENERATE="64",
        QUAESTOR_WORKERS__SLOTS__CHAT_RETRIEVE="16",
        QUAESTOR_SERVER=f"http://127.0.0.1:{PORT}",
        QUAESTOR_API_KEY=KEY,
        OPENAI_BASE_URL="http://127.0.0.1:5681/v1",
        OPENAI_API_KEY="none",
        QUAESTOR_CHAT="offline",
        # The peers' names for the same servers.
        AMQP_URL=env["QUAESTOR_QUEUE_URL"],
        REDIS_URL=env["QUAESTOR_EVENTS_URL"],
    )
    subprocess.run([binary, "migrate"], env=env, check=True)
    subprocess.run([binary, "topology", "apply"], env=env, check=True, stdout=subprocess.DEVNULL)
    report = os.path.join(scratch, "report.md")
    with open(report, "w", encoding="utf-8") as file:
        file.write(REPORT)
    processes = [
        subprocess.Popen([binary, "front", "--listen", f"127.0.0.1:{PORT}"], env=env),
        subprocess.Popen([binary, "worker"], env=env),
    ]
    try:
        subprocess.run([binary, "ingest", report], env=env, check=True)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()
    return env


def bench_folder(shared, binary, scratch):
    """The peers' folder with this program beside them."""
    folder = os.path.join(scratch, "peer_bench")
    shutil.copytree(os.path.join(shared, "peer_bench"), folder, ignore=shutil.ignore_patterns("harness"))
    shutil.copy(os.path.join(HERE, "adapter.json"), os.path.join(folder, "adapter_quaestor.json"))
    path = os.path.join(folder, "systems.json")
    with open(path, encoding="utf-8") as file:
        systems = json.load(file)
    systems["ours"] = {
        "adapter": "adapter_quaestor.json",
        "health": f"http://127.0.0.1:{PORT}/health",
        "procs": {
            "web": [binary, "front", "--listen", f"127.0.0.1:{PORT}"],
            "worker": [binary, "worker"],
        },
        "vars": {},
        "queue": "qs.chat.retrieve.v1",
        "mult": {"c1": 4, "c64": 3, "c64z": 6, "accept1": 6, "accept32": 6},
    }
    with open(path, "w", encoding="utf-8") as file:
        json.dump(systems, file)
    return folder


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="*", default=["chat", "accept"])
    parser.add_argument("--bin", default=os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "release/quaestor"))
    parser.add_argument("--shared", default=os.environ.get("QUAESTOR_SHARED", os.path.join(ROOT, "../shared")))
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--systems", default=SYSTEMS)
    parser.add_argument("--out", default="")
    options = parser.parse_args()
    if "QUAESTOR_DATABASE_URL" not in os.environ:
        sys.exit("no servers: run it as `scripts/services.sh with python3 benches/peers/run.py`")
    if not os.path.isdir(os.path.join(options.shared, "peer_bench")):
        return print('{"bench": "peers", "skipped": "the peers (--shared) are not here"}')
    python, harness = tools(os.path.abspath(options.shared))
    scratch = tempfile.mkdtemp(prefix="quaestor-peers-")
    out = os.path.abspath(options.out or os.path.join(scratch, "results.jsonl"))
    binary = os.path.abspath(options.bin)
    env = environment(binary, scratch)
    folder = bench_folder(os.path.abspath(options.shared), binary, scratch)
    common = [
        os.path.join(python, "python"), "run.py", "--py", python, "--qbench", harness, "--out", out, "--logs", scratch,
        "--systems", options.systems, "--reps", str(options.reps), "--var", "pool=threads", "--var", "conc=64",
        "--env", "LLM_CLIENT=httpx", "--env", "ASYNC_CLIENT=aiohttp",
    ]
    runs = []
    if "chat" in options.what:
        runs.append((["--scen", "c1,c64", "--tag", "spaced"], SPACED))
        runs.append((["--scen", "c64z", "--tag", "unspaced"], AT_ONCE))
    if "accept" in options.what:
        runs.append((["--scen", "accept1,accept32", "--noworker", "--tag", "accept"], SPACED))
    for arguments, model in runs:
        subprocess.run([*common, *arguments], cwd=folder, env={**env, "QUAESTOR_CHAT": f"openai:{model}"}, check=True)
    # It ends badly where a run did: every run was printed above all the same.
    subprocess.run([os.path.join(python, "python"), "summary.py", out], cwd=folder)
    if not options.out:
        shutil.rmtree(scratch)


if __name__ == "__main__":
    main()
