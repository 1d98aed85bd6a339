"""A program that stands in for a gateway, a keeper or a worker of `soloist up`."""

import os
from pathlib import Path

from local.topology import ProcessSpec

FAKE = '''
"""Answers probes and predictions, and writes down how it ends."""
import json, os, signal, sys, threading
from http.server import BaseHTTPRequestHandler, HTTPServer

name, how = sys.argv[1:3]
port = next(int(v) for k, v in os.environ.items() if k == sys.argv[3])
phases = iter(["importing", "loading"] if how != "plain" else [])

def note(word):
    with open("ends.txt", "a") as file:
        file.write(f"{word} {name}\\n")

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        phase = next(phases, None)
        if phase:
            self.answer(503, {"state": "loading", "phase": phase, "progress": 0.5})
        else:
            self.answer(200, {"state": "idle"})
    def do_POST(self):
        self.answer(201, {"id": "p", "status": "succeeded", "output": [0.25] * 384})
    def answer(self, status, body):
        raw = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)
    def log_message(self, *args):
        pass

if how == "refuses":
    print("soloist worker: the model is broken", file=sys.stderr)
    sys.exit(78)
if how == "crashes":
    sys.exit("some trouble")
if how == "dies once" and not os.path.exists("died.txt"):
    open("died.txt", "w").close()
    os.kill(os.getpid(), signal.SIGKILL)

def end(number, frame):
    if how != "stubborn":
        note("ended")
        os._exit(0)

signal.signal(signal.SIGTERM, end)
print(json.dumps({"at": "2026-01-02T03:04:05", "level": "info", "message": "it runs", "port": port}))
print("a line that is no JSON", flush=True)
HTTPServer(("127.0.0.1", port), Handler).serve_forever()
'''


def write_fake_program(folder: Path) -> None:
    """Put it where a process that starts in this folder finds it."""
    (folder / "fake.py").write_text(FAKE)


def fake_spec(name: str, how: str, port_variable: str, port: int = 0) -> ProcessSpec:
    """A process that loads, refuses to start, crashes, dies once, is stubborn or plain."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    return ProcessSpec(name, ("fake", name, how, port_variable), environment, port_variable, port)
