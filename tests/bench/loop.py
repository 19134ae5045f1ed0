# SPDX-License-Identifier: Apache-2.0
"""The inner loop on a real cluster: from the end of `docker build` until a pod with the
new code is Running.  sidelift up against `kind load docker-image` and `kubectl rollout
restart`, on the same nodes, in turn."""
import json
import os
import shlex
import subprocess
import threading
import time

import peers
from peers import KIND, SIDELIFT, WORK, Image, median

PROGRAM = """#include <signal.h>
#include <unistd.h>
static const char what[] = "%s";
static void end(int n) { (void)n; _exit(what[0] == 0); }
int main(void) { signal(SIGTERM, end); for (;;) pause(); }
"""
MANIFEST = """apiVersion: apps/v1
kind: Deployment
metadata: {name: %(name)s}
spec:
  selector: {matchLabels: {app: %(name)s}}
  template:
    metadata: {labels: {app: %(name)s}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - {name: app, image: '%(image)s', imagePullPolicy: IfNotPresent, command: [/top]}
"""


class Loop:
    def __init__(self, engine, kubeconfig, megabytes, files):
        self.engine, self.image = engine, Image("bench-loop:dev", megabytes, files)
        self.env = dict(engine.env, KUBECONFIG=kubeconfig)
        self.context = peers.sh("kubectl", "config", "current-context", env=self.env).strip()
        self.rounds = 0
        with open(f"{WORK}/loop.yaml", "w") as f:
            f.write(MANIFEST % {"name": "loop", "image": self.image.tag})

    def edit(self):
        """A source line, compiled, on top of the 1 MB that change with it."""
        self.rounds += 1
        source, top = f"{WORK}/loop.c", f"{self.image.directory}/top"
        with open(source, "w") as f:
            f.write(PROGRAM % f"round {self.rounds}")
        peers.sh("gcc", "-Os", "-static", "-o", top, source)
        with open(top, "ab") as f:
            f.write(os.urandom(1000000))

    def pods(self):
        found = json.loads(peers.sh("kubectl", "get", "pods", "-l", "app=loop", "-o", "json", env=self.env))["items"]
        return {p["metadata"]["name"] for p in found}

    def build_command(self):
        """Builds, and says when that was over."""
        return f"{shlex.join(peers.build_words(self.image.tag, self.image.directory))} >/dev/null 2>&1 && sync && date +%s.%N >{WORK}/built"

    def until_running(self, argv):
        """Seconds from the end of the build that @argv runs until a pod that was not there before is
        Running, and until the command ended."""
        known, seen = self.pods(), threading.Event()
        watch = subprocess.Popen(["kubectl", "get", "pods", "-l", "app=loop", "-w", "--no-headers", "-o",
                                  "custom-columns=N:.metadata.name,P:.status.phase,R:.status.containerStatuses[0].ready"],
                                 stdout=subprocess.PIPE, text=True, env=self.env)
        running = []

        def read():
            for line in watch.stdout:
                name, phase, ready = line.split()
                if name not in known and phase == "Running" and ready == "true" and not running:
                    running.append(time.time())
                    seen.set()
        thread = threading.Thread(target=read)
        thread.start()
        time.sleep(0.5)
        peers.sh(*argv, env=self.env)
        ended = time.time()
        if not seen.wait(60):
            raise SystemExit("no new pod is Running after 60 s")
        watch.kill()
        watch.wait()
        thread.join()
        with open(f"{WORK}/built") as f:
            start = float(f.read())
        return running[0] - start, ended - start

    def by_sidelift(self):
        return self.until_running([SIDELIFT, "up", "-q", "-f", f"{WORK}/loop.yaml", "--build-command", f"{self.image.tag}={self.build_command()}"])

    def by_kind(self):
        name = self.context.removeprefix("kind-")
        return self.until_running(["bash", "-c", f"set -e; {self.build_command()}; \"$0\" load docker-image \"$1\" --name \"$2\"; kubectl rollout restart deployment/loop; "
                                   "kubectl rollout status deployment/loop", KIND, self.image.tag, name])

    def run(self, runs):
        self.edit()
        self.image.build(self.engine)
        peers.sh(SIDELIFT, "up", "-q", "-f", f"{WORK}/loop.yaml", env=self.env)
        times = {"sidelift": [], "kind": []}
        ends = []
        for _ in range(runs):
            self.edit()
            running, ended = self.by_sidelift()
            times["sidelift"].append(running)
            ends.append(ended)
            if len(times["kind"]) < 2:
                self.edit()
                times["kind"].append(self.by_kind()[0])
        peers.sh("kubectl", "delete", "deployment", "loop", env=self.env)
        self.image.remove()
        seconds = {p: round(median(t), 3) for p, t in times.items()}
        return {"case": "from the end of docker build to the new pod Running", "engine": self.engine.name, "nodes": 1, "seconds": seconds, "all": times,
                "note": f"{seconds['kind'] / seconds['sidelift']:.0f} x kind load + rollout restart; sidelift up ends after {median(ends):.1f} s, when the pod has lasted"}
