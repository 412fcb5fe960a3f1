#!/usr/bin/env python3
"""Measures whether workers follow the queue. Standard library only.

usage: scripts/services.sh with benches/scaling.py [--bin PATH] [--models PATH] [--jobs N] [--steady N]

A front and `quaestor scaler` run on the servers, with one worker process for questions. Then two
thousand questions come at once, each of which a model answers in 200 ms, and the queue's target wait
is 10 s. Counted: when there were as many workers as the backlog needs, when the last question had its
answer, and how many were interrupted. Then questions come steadily, while the processes of the burst
leave: counted are changes of the number within half a minute, and again what was interrupted. The
model is the tests' own server (`cargo build -p quaestor-model-server`).

Every figure is printed as one JSON line. Processes are started on free loopback ports and scratch
folders, and stopped by pid.
"""

import argparse
import datetime
import math
import os
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time

import overload
import run
import services
from overload import at
from run import KEY, say

SERVICE_S, WAIT_S, SLOTS = 0.2, 10, 16
# How long fewer must have been wanted before there are fewer: the usual five minutes would only make
# the bench longer.
SCALE_IN_AFTER_S = 30


class Scaled(run.Server):
    """A front and a scaler on a new installation on the servers that run."""

    command = "front"

    def __init__(self, binary, data, **environment):
        settings = {
            name: value
            for name, value in os.environ.items()
            if name.startswith(("QUAESTOR_QUEUE", "QUAESTOR_EVENTS", "QUAESTOR_OBJECTS", "AWS_"))
        }
        settings.update(services.fresh("quaestor_bench_scaling"), **environment)
        env = {**os.environ, **settings, "QUAESTOR_DATA_DIR": data, "QUAESTOR_ADMIN_KEY": KEY}
        subprocess.run([binary, "migrate"], env=env, check=True, stderr=subprocess.DEVNULL)
        subprocess.run([binary, "topology", "apply"], env=env, check=True, stdout=subprocess.DEVNULL)
        super().__init__(binary, data, **settings)
        env["QUAESTOR_LISTEN"] = "127.0.0.1:0"
        self.scaler = subprocess.Popen([binary, "scaler"], env=env, stderr=subprocess.PIPE, text=True)
        self.scaler_log = []
        for line in self.scaler.stderr:
            if "serves on " in line:
                self.scaler_address = line.split("serves on http://")[1].strip()
                break
        else:
            sys.exit("the scaler did not start")
        threading.Thread(target=lambda: self.scaler_log.extend(self.scaler.stderr), daemon=True).start()

    def told(self):
        """The metrics of the scaler, by their names and labels."""
        front, self.address = self.address, self.scaler_address
        try:
            text = self.request("GET", "/metrics")[1].decode()
        finally:
            self.address = front
        lines = (line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, value in lines}

    def stop(self):
        self.scaler.send_signal(signal.SIGTERM)
        self.scaler.wait(timeout=600)
        super().stop()


class Watch:
    """The scaler's numbers, looked at all the while."""

    def __init__(self, server):
        self.server = Looker(server)
        self.seen, self.over = [], threading.Event()
        self.thread = threading.Thread(target=self.look, daemon=True)
        self.thread.start()

    def look(self):
        while not self.over.is_set():
            told = self.server.told()
            kind = 'kind="chat"'
            working = told.get(f'quaestor_scaler_processes{{{kind},state="working"}}', 0)
            self.seen.append((time.monotonic(), working, told.get(f"quaestor_scaler_wanted{{{kind}}}", 0)))
            self.over.wait(0.1)

    def end(self):
        self.over.set()
        self.thread.join()
        return self.seen


class Looker:
    """Looks at the scaler over connections of its own."""

    def __init__(self, server):
        self.address, self.scaler_address = server.scaler_address, server.scaler_address

    request, told = run.Server.request, Scaled.told


def moment(text):
    return datetime.datetime.fromisoformat(text).timestamp()


def questions(server, since):
    """Every question that was accepted since then."""
    found, cursor = [], ""
    while cursor is not None:
        page = server.call("GET", f"/api/jobs?kind=chat&limit=200{cursor}")[1]
        found += page["items"]
        cursor = f"&cursor={page['next']}" if page["next"] else None
        if page["items"] and moment(page["items"][-1]["created_at"]) < since:
            break
    return [job for job in found if moment(job["created_at"]) >= since]


def all_ended(server, patience):
    until = time.monotonic() + patience
    while time.monotonic() < until:
        there = [
            state
            for state in ("queued", "running", "waiting")
            if server.call("GET", f"/api/jobs?kind=chat&state={state}&limit=1")[1]["items"]
        ]
        if not there:
            return True
        time.sleep(0.1)
    return False


def interrupted(jobs):
    """Each question has two steps, and each of these is claimed once."""
    return sum(job["state"] != "done" or job["attempt"] != 2 for job in jobs)


def ask_all(server, number, threads):
    asker = overload.Asker(server)
    left, refused = iter(range(number)), []

    def one():
        for _ in left:
            while True:
                asked = asker.ask()
                if asked["status"] == 202:
                    break
                refused.append(asked["status"])
                time.sleep(asked["wait_s"] or 0.1)

    asking = [threading.Thread(target=one) for _ in range(threads)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    return len(refused)


def steady(server, rate, seconds):
    asker, began = overload.Asker(server), time.monotonic()
    for number in range(int(rate * seconds)):
        pause = began + number / rate - time.monotonic()
        if pause > 0:
            time.sleep(pause)
        if asker.ask()["status"] != 202:
            sys.exit("a question was refused")


def most_changes(seen, after, window=30):
    """The most changes of the wanted number within a window."""
    changes = [now[0] for before, now in zip(seen, seen[1:]) if now[2] != before[2] and now[0] >= after]
    return max((sum(begin <= one < begin + window for one in changes) for begin in changes), default=0), len(changes)


def bench(arguments):
    overload.WORDS, overload.EVERY_MS = 4, int(SERVICE_S * 1000 / 4)
    model, data = overload.Model(arguments.models), run.scratch()
    server = Scaled(
        arguments.bin,
        data,
        QUAESTOR_EMBED="none",
        QUAESTOR_SERVER__QUOTAS__ASKS_BURST="1000000",
        QUAESTOR_SERVER__QUOTAS__ASKS_PER_MINUTE="1000000",
        QUAESTOR_SERVER__QUOTAS__REQUESTS_BURST="1000000",
        QUAESTOR_SERVER__QUOTAS__REQUESTS_PER_MINUTE="1000000",
        QUAESTOR_WORKERS__SLOTS__CHAT_GENERATE=str(SLOTS),
        QUAESTOR_WORKERS__SLOTS__CHAT_RETRIEVE=str(SLOTS),
        QUAESTOR_WORKERS__WAIT_S__CHAT_RETRIEVE=str(WAIT_S),
        QUAESTOR_WORKERS__WAIT_S__CHAT_GENERATE=str(WAIT_S),
        QUAESTOR_WORKERS__SCALE_IN_AFTER_S=str(SCALE_IN_AFTER_S),
        QUAESTOR_SCALER__MAX__CHAT=str(arguments.processes),
        QUAESTOR_SCALER__MIN__DOCUMENTS="1",
        **model.environment,
    )
    path = os.path.join(data, "halden.md")
    with open(path, "w") as file:
        file.write(overload.REPORT)
    jobs = [item["job_id"] for item in server.upload(server.collection("reports"), [path])[1]["items"]]
    server.wait_until_ended(jobs)
    # So that it is known what a question takes.
    ask_all(server, 40, 4)
    if not all_ended(server, arguments.patience):
        sys.exit("the first questions are stuck")
    time.sleep(2)

    needed = math.ceil(arguments.jobs * SERVICE_S / WAIT_S)
    watch, began, since = Watch(server), time.monotonic(), time.time()
    refused = ask_all(server, arguments.jobs, arguments.threads)
    accepted_s = time.monotonic() - began
    ended = all_ended(server, arguments.patience)
    asked = questions(server, since)
    enough = next((when - began for when, working, _ in watch.seen if working * SLOTS >= needed), None)
    finished = [moment(job["finished_at"]) for job in asked if job["finished_at"]]
    accepted = [moment(job["created_at"]) for job in asked]
    say(
        "burst",
        jobs=len(asked),
        service_s=SERVICE_S,
        target_wait_s=WAIT_S,
        accepted_in_s=round(accepted_s, 2),
        refused=refused,
        slots_needed=needed,
        enough_workers_s=round(enough, 2) if enough is not None else None,
        processes_most=max(working for _, working, _ in watch.seen),
        all_ended=ended,
        drained_after_the_last_came_s=round(max(finished) - max(accepted), 2),
        drained_after_the_first_came_s=round(max(finished) - min(accepted), 2),
        answered_p50_s=round(statistics.median(end - begin for begin, end in zip(accepted, finished)), 2),
        answered_p99_s=at(99, [end - begin for begin, end in zip(accepted, finished)]),
        interrupted=interrupted(asked),
    )

    since, steady_from = time.time(), time.monotonic()
    steady(server, arguments.rate, arguments.steady)
    ended = all_ended(server, arguments.patience)
    seen, asked = watch.end(), questions(server, since)
    # The burst's processes leave in the first of it: from the time on when fewer may be wanted.
    settled = steady_from + SCALE_IN_AFTER_S + 30
    in_any, changes = most_changes(seen, steady_from)
    in_settled, _ = most_changes(seen, settled)
    left = sum("has left" in line for line in server.scaler_log)
    say(
        "steady",
        asked_per_s=arguments.rate,
        seconds=arguments.steady,
        changes=changes,
        most_changes_in_30_s=in_any,
        most_changes_in_30_s_once_settled=in_settled,
        processes_that_left=left,
        processes_at_the_end=seen[-1][1],
        died=sum("has died" in line for line in server.scaler_log),
        all_ended=ended,
        interrupted=interrupted(asked),
    )
    server.stop()
    model.stop()
    shutil.rmtree(data)


def main():
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(overload.ROOT, "target"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default=os.path.join(target, "release/quaestor"))
    parser.add_argument("--models", default=os.path.join(target, "release/quaestor-model-server"))
    parser.add_argument("--jobs", type=int, default=2_000, help="questions of the burst")
    parser.add_argument("--threads", type=int, default=16, help="who ask them")
    parser.add_argument("--processes", type=int, default=6, help="worker processes for questions at most")
    parser.add_argument("--rate", type=float, default=10, help="questions a second afterwards")
    parser.add_argument("--steady", type=float, default=120, help="for how many seconds")
    parser.add_argument("--patience", type=float, default=600, help="seconds until questions count as stuck")
    bench(parser.parse_args())


if __name__ == "__main__":
    main()
