#!/usr/bin/env python3
"""Measures what is answered when more is asked than can be. Standard library only.

usage: benches/overload.py [--bin PATH] [--models PATH] [--seconds N] [--files N] [load|bulk]...
       scripts/services.sh with benches/overload.py --distributed load bulk

`load` finds how many questions a second are answered, then asks once, twice and three times as
many, whatever is answered, and counts: answers a second, refusals and how long they took, and
whether each question that was accepted came to its end. `bulk` measures how long answers take
alone and while ten thousand small files are ingested. The model is the tests' own server
(`cargo build -p quaestor-model-server`), whose answers take a fixed time.

Every figure is printed as one JSON line. Servers are started on free loopback ports and scratch
folders, and stopped by pid.
"""

import argparse
import concurrent.futures
import datetime
import http.client
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import threading
import time

import run
from run import KEY, say

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# An answer is so many words, one every so many milliseconds.
WORDS, EVERY_MS = 20, 50
QUESTION = "What was the market value of bond 2 in 2025?"
REPORT = "# Halden Bond Fund\n\n| Item | 2025 | 2024 |\n| --- | --- | --- |\n| Market value of bond 2 | 2,026 | 1,822 |\n"


class Model:
    """The tests' server of models, with answers of a fixed length and time, and vectors that take
    so many microseconds for each text."""

    def __init__(self, binary, text_us=0):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        self.process = subprocess.Popen(
            [binary, address, str(WORDS), str(EVERY_MS), str(text_us)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        if "serves at" not in self.process.stderr.readline():
            sys.exit("the server of models did not start")
        threading.Thread(target=lambda: [None for _ in self.process.stderr], daemon=True).start()
        self.environment = {
            "QUAESTOR_CHAT": "openai:fixed",
            "OPENAI_BASE_URL": f"http://{address}/v1",
            "OPENAI_API_KEY": "sk-none",
        }

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=10)


class Asker:
    """Asks over connections that are kept, one for each thread."""

    def __init__(self, server):
        self.server = server
        self.local = threading.local()
        self.conversation = server.call("POST", "/api/conversations", {})[1]["id"]

    def send(self, method, path, body=None):
        headers = {"Authorization": f"Bearer {KEY}"}
        if body is not None:
            body = json.dumps(body)
            headers["Content-Type"] = "application/json"
        for last in (False, True):
            connection = getattr(self.local, "connection", None)
            if connection is None:
                connection = self.local.connection = http.client.HTTPConnection(self.server.address, timeout=60)
            try:
                connection.request(method, path, body, headers)
                response = connection.getresponse()
                return response.status, dict(response.getheaders()), json.loads(response.read() or b"null")
            except (http.client.HTTPException, OSError):
                # A connection that was kept for long may be closed from the other side.
                connection.close()
                self.local.connection = None
                if last:
                    raise
        return None

    def ask(self):
        path = f"/api/conversations/{self.conversation}/messages"
        began = time.monotonic()
        status, headers, answer = self.send("POST", path, {"content": QUESTION})
        wait = next((int(value) for name, value in headers.items() if name.lower() == "retry-after"), None)
        return {
            "status": status,
            "code": answer.get("code"),
            "wait_s": wait,
            "ms": (time.monotonic() - began) * 1000,
            "job": answer.get("job_id"),
        }

    def ended(self, job, seconds=120):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            seen = self.send("GET", f"/api/jobs/{job}")[2]
            if seen["state"] in ("done", "failed", "cancelled", "dead"):
                return seen
            time.sleep(0.05)
        return {"state": "never ended"}


def at(percent, values):
    return round(sorted(values)[min(len(values) - 1, int(len(values) * percent / 100))], 1) if values else None


def start(arguments, model, **environment):
    data = run.scratch()
    kind = run.Front if arguments.distributed else run.Server
    settings = {
        "QUAESTOR_EMBED": "none",
        "QUAESTOR_SERVER__QUOTAS__ASKS_BURST": "1000000",
        "QUAESTOR_SERVER__QUOTAS__ASKS_PER_MINUTE": "1000000",
        "QUAESTOR_SERVER__QUOTAS__REQUESTS_BURST": "1000000",
        "QUAESTOR_SERVER__QUOTAS__REQUESTS_PER_MINUTE": "1000000",
        **model.environment,
        **environment,
    }
    server = kind(arguments.bin, data, **settings)
    path = os.path.join(data, "halden.md")
    with open(path, "w") as file:
        file.write(REPORT)
    jobs = [item["job_id"] for item in server.upload(server.collection("reports"), [path])[1]["items"]]
    server.wait_until_ended(jobs)
    return server, data


def capacity(asker, seconds):
    """Answers a second while as many ask as can be answered at once, and some wait."""
    until, done = time.monotonic() + seconds, []

    def one():
        while time.monotonic() < until:
            asked = asker.ask()
            if asked["status"] == 202 and asker.ended(asked["job"])["state"] == "done":
                done.append(time.monotonic())
            elif asked["status"] != 202:
                time.sleep(0.1)

    with concurrent.futures.ThreadPoolExecutor(24) as threads:
        for asking in [threads.submit(one) for _ in range(24)]:
            asking.result()
    return sum(when <= until for when in done) / seconds


def phase(asker, rate, seconds):
    """Asks at a rate, whatever is answered. Gives what came of each question."""
    began, asked = time.monotonic(), []
    first = datetime.datetime.now(datetime.timezone.utc)
    with concurrent.futures.ThreadPoolExecutor(64) as threads:
        for number in range(int(rate * seconds)):
            pause = began + number / rate - time.monotonic()
            if pause > 0:
                time.sleep(pause)
            asked.append(threads.submit(asker.ask))
        asked = [one.result() for one in asked]
    ends = [asker.ended(one["job"]) for one in asked if one["status"] == 202]
    # Of the second half: before that the line was still filling.
    half = [first + datetime.timedelta(seconds=seconds * part) for part in (0.5, 1.0)]
    finished = [datetime.datetime.fromisoformat(end["finished_at"]) for end in ends if end["state"] == "done"]
    goodput = sum(half[0] <= when < half[1] for when in finished) / (seconds / 2)
    return asked, ends, goodput


def bench_load(arguments):
    model = Model(arguments.models)
    server, data = start(arguments, model, QUAESTOR_JOBS__CHAT_WAIT_S="4", QUAESTOR_JOBS__CHAT_DEADLINE_S="30")
    asker = Asker(server)
    peak = capacity(asker, arguments.seconds / 2)
    say("overload_capacity", answers_per_s=round(peak, 1), answer_s=WORDS * EVERY_MS / 1000)
    best = peak
    for times in (1, 2, 3):
        asked, ends, goodput = phase(asker, times * peak, arguments.seconds)
        best = max(best, goodput)
        refused = [one for one in asked if one["status"] != 202]
        states = {}
        for end in ends:
            name = end["state"] if end["state"] != "failed" else "failed:" + end["problem"]["code"]
            states[name] = states.get(name, 0) + 1
        say(
            "overload",
            times=times,
            asked_per_s=round(len(asked) / arguments.seconds, 1),
            answered_per_s=round(goodput, 1),
            of_peak_percent=round(100 * goodput / best, 1),
            accepted=len(ends),
            ends=states,
            refused=len(refused),
            refused_as=sorted({f"{one['status']} {one['code']}" for one in refused}),
            without_retry_after=sum(one["wait_s"] is None or not 1 <= one["wait_s"] <= 30 for one in refused),
            refused_p50_ms=at(50, [one["ms"] for one in refused]),
            refused_p99_ms=at(99, [one["ms"] for one in refused]),
            accepted_p99_ms=at(99, [one["ms"] for one in asked if one["status"] == 202]),
        )
    server.stop()
    model.stop()
    shutil.rmtree(data)


def latencies(asker, until):
    """How long answers take that are asked for one after the other, while `until` is false."""
    took = []
    while not until():
        began = time.monotonic()
        asked = asker.ask()
        if asked["status"] == 202:
            asker.ended(asked["job"])
            took.append((time.monotonic() - began) * 1000)
    return took


def bench_bulk(arguments):
    model = Model(arguments.models)
    server, data = start(arguments, model)
    asker = Asker(server)
    quiet = time.monotonic() + arguments.seconds / 2
    alone = latencies(asker, lambda: time.monotonic() > quiet)
    collection = server.collection("bulk")
    files = []
    for number in range(arguments.files):
        path = os.path.join(data, f"bulk-{number}.txt")
        with open(path, "w") as file:
            file.write(f"Report {number}. " + f"Holding {number} was valued at {number * 7} on the day. " * 20)
        files.append(path)
    jobs, began = [], time.monotonic()

    def upload():
        for first in range(0, len(files), 200):
            status, answer = server.upload(collection, files[first : first + 200])
            if status != 202:
                sys.exit(f"an upload was answered {status}: {answer}")
            jobs.extend(item["job_id"] for item in answer["items"])

    uploading = threading.Thread(target=upload)
    uploading.start()
    over = time.monotonic() + arguments.seconds * 2
    beside = latencies(asker, lambda: time.monotonic() > over)
    uploading.join()
    done, cursor = -1, ""
    while cursor is not None:
        # The first report is not of the bulk.
        page = server.call("GET", f"/api/jobs?kind=documents&state=done&limit=200{cursor}")[1]
        done += len(page["items"])
        cursor = f"&cursor={page['next']}" if page["next"] else None
    taken = time.monotonic() - began
    say(
        "bulk",
        files=len(jobs),
        ingested=done,
        files_per_s=round(done / taken, 1),
        alone_p50_ms=at(50, alone),
        alone_p95_ms=at(95, alone),
        beside_p50_ms=at(50, beside),
        beside_p95_ms=at(95, beside),
        slower_percent=round(100 * (statistics.median(beside) / statistics.median(alone) - 1), 1),
    )
    server.stop()
    model.stop()
    shutil.rmtree(data)


BENCHES = {"load": bench_load, "bulk": bench_bulk}


def main():
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default=os.path.join(target, "release/quaestor"))
    parser.add_argument("--models", default=os.path.join(target, "release/quaestor-model-server"))
    parser.add_argument("--seconds", type=float, default=30, help="how long each load lasts")
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--distributed", action="store_true", help="a front and a worker on the servers that run")
    parser.add_argument("which", nargs="*", choices=[*BENCHES, []], default=[])
    arguments = parser.parse_args()
    for name in arguments.which or BENCHES:
        BENCHES[name](arguments)


if __name__ == "__main__":
    main()
