#!/usr/bin/env python3
"""Makes the labelled answers, checks them with a release build and prints the scores by kind. Standard library only.

usage: benches/grounding/run.py [--shared DIR] [--seed N] [--show SPLIT [KIND]]
"""

import argparse
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", default=os.environ.get("QUAESTOR_SHARED", os.path.join(ROOT, "..", "shared")))
    parser.add_argument("--seed", default="4")
    parser.add_argument("--show", nargs="+", default=[])
    arguments = parser.parse_args()
    if not os.path.isdir(os.path.join(arguments.shared, "data", "retrieval")):
        sys.exit(f"{arguments.shared} has no data/retrieval: say where with --shared")
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as file:
        make = [sys.executable, os.path.join(HERE, "make.py"), "--shared", arguments.shared, "--seed", arguments.seed]
        subprocess.run([*make, "--out", file.name], check=True)
        shown = ["--show", *arguments.show] if arguments.show else []
        cargo = [os.environ.get("CARGO", "cargo"), "run", "--release", "--quiet", "-p", "quaestor-grounding-bench", "--"]
        subprocess.run([*cargo, file.name, *shown], cwd=ROOT, check=True)


main()
