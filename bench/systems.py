"""The systems that are measured: started on fresh directories on loopback, asked, stopped. And what tells whether a measurement was
disturbed. Shared by the programs of this folder."""
import base64
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BIN = os.path.join(ROOT, "build", "release", "cmd")
CANARY_LIMIT_US = 130
FOREIGN_LIMIT = 0.05


def fail(text):
    sys.exit(f"bench/{os.path.basename(sys.argv[0])}: {text}")


def need(*programs):
    for program in programs:
        if not os.path.exists(os.path.join(BIN, program)):
            fail(f"{BIN}/{program} is missing; build the release preset first")


def wait_for(what, check, seconds=20, pause=0.05):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        result = check()
        if result:
            return result
        time.sleep(pause)
    fail(f"{what}: not after {seconds} s")


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), 0.2).close()
        return True
    except OSError:
        return False


def resp(port, *words):
    """One command and its raw answer, or None."""
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as s:
            s.settimeout(2)
            s.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w.encode()) for w in words))
            return s.recv(65536).decode(errors="replace")
    except OSError:
        return None


def memory_kib(pid, field):
    """A line of /proc/PID/status: VmRSS, VmHWM (the most since reset_peak)."""
    with open(f"/proc/{pid}/status") as f:
        return int(re.search(rf"^{field}:\s+(\d+) kB", f.read(), re.M).group(1))


def reset_peak(pid):
    with open(f"/proc/{pid}/clear_refs", "w") as f:
        f.write("5")


class System:
    """Nodes are numbered from 1."""

    nodes = (1,)

    def __init__(self, directory, flags=()):
        self.directory = directory
        self.flags = list(flags)
        self.processes = {}

    def start(self):
        for n in self.nodes:
            self.start_node(n)
        self.wait_until_ready()

    def spawn(self, n, command):
        with open(self.log(n), "ab") as log:
            self.processes[n] = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def log(self, n):
        return os.path.join(self.directory, f"{self.name}{n}.log")

    def pid(self, n):
        return self.processes[n].pid

    def kill(self, n):
        process = self.processes.pop(n)
        process.kill()
        process.wait()

    def stop(self):
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes = {}

    def cpu_seconds(self):
        ticks = 0
        for process in self.processes.values():
            with open(f"/proc/{process.pid}/stat") as f:
                fields = f.read().rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")


class Raftkv(System):
    name = "raftkv"
    nodes = (1, 2, 3)
    log_level = "warn"

    @staticmethod
    def port(n):
        return 17400 + 10 * n

    def start_node(self, n):
        members = ",".join(f"{m}=127.0.0.1:{self.port(m) + 1}/127.0.0.1:{self.port(m)}" for m in self.nodes)
        data = os.path.join(self.directory, f"node{n}")
        if not os.path.exists(data):
            subprocess.run([os.path.join(BIN, "raftkv"), "init", "--data", data, "--node-id", str(n), "--cluster-id", "be9c",
                            "--members", members], check=True, stdout=subprocess.DEVNULL)
        self.spawn(n, [os.path.join(BIN, "raftkv"), "--data", data, "--log-level", self.log_level,
                       "--listen-client", f"127.0.0.1:{self.port(n)}", "--listen-peer", f"127.0.0.1:{self.port(n) + 1}",
                       *self.flags])

    def wait_until_ready(self):
        wait_for("raftkv takes a write", lambda: "OK" in (resp(self.port(1), "SET", "ready", "1") or ""))
        self.leader = self.port(self.leading_node())

    def leading_node(self):
        return next((n for n in self.nodes if self.status(n).get("role") == "leader"), 1)

    def status(self, n):
        """KV.STATUS as a dictionary, empty when the node does not answer."""
        text = resp(self.port(n), "KV.STATUS") or ""
        values = [line for line in text.split("\r\n")[1:]]
        fields, i = [], 0
        while i < len(values):
            if values[i].startswith("$"):
                fields.append(values[i + 1] if i + 1 < len(values) else "")
                i += 2
            else:
                if values[i].startswith(":"):
                    fields.append(values[i][1:])
                i += 1
        return dict(zip(fields[::2], fields[1::2]))

    def reads(self, n, key):
        """Whether the node itself answers a linearizable read of `key`."""
        return (resp(self.port(n), "GET", key) or "").startswith("$")

    def load(self, test, connections, pipeline, seconds):
        return [os.path.join(BIN, "raftkv-bench"), "--endpoints", f"127.0.0.1:{self.leader}", "-t", test, "-c", str(connections),
                "-P", str(pipeline), "--seconds", str(seconds), "--csv"]


class Etcd(System):
    name = "etcd"
    nodes = (1, 2, 3)
    client = None  # see build_client

    @classmethod
    def build_client(cls, directory):
        cls.client = os.path.join(directory, "etcd_load")
        subprocess.run(["go", "build", "-o", cls.client, os.path.join(ROOT, "bench", "etcd_load", "main.go")], check=True,
                       env=dict(os.environ, GO111MODULE="off", GOPATH="/usr/share/gocode"))

    @staticmethod
    def port(n):
        return 12379 + 10 * n

    def start_node(self, n):
        cluster = ",".join(f"n{m}=http://127.0.0.1:{self.port(m) + 1}" for m in self.nodes)
        client, peer = f"http://127.0.0.1:{self.port(n)}", f"http://127.0.0.1:{self.port(n) + 1}"
        self.spawn(n, ["etcd", "--name", f"n{n}", "--data-dir", os.path.join(self.directory, f"etcd{n}"),
                       "--listen-client-urls", client, "--advertise-client-urls", client,
                       "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                       "--initial-cluster", cluster, "--initial-cluster-state", "new", "--log-level", "error", *self.flags])

    def wait_until_ready(self):
        wait_for("etcd listens", lambda: all(listens(self.port(n)) for n in self.nodes), 30)
        # Listening is not serving: the first write waits for an election.
        ready = [self.client, "-endpoints", f"127.0.0.1:{self.port(1)}", "-connections", "1", "-seconds", "0.5", "-warmup", "0"]
        wait_for("etcd takes a write", lambda: subprocess.run(ready, capture_output=True).returncode == 0, 60)

    def reads(self, n, key):
        """Whether the node itself answers a linearizable read of `key`, asked through its HTTP gateway."""
        body = json.dumps({"key": base64.b64encode(key.encode()).decode()}).encode()
        try:
            with socket.create_connection(("127.0.0.1", self.port(n)), 1) as s:
                s.settimeout(5)
                s.sendall(b"POST /v3/kv/range HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
                          + body)
                answer = b""
                while piece := s.recv(65536):
                    answer += piece
                return b'"kvs"' in answer
        except OSError:
            return False

    def load(self, test, connections, pipeline, seconds):
        # Eight connections shared by all callers: faster for etcd than one for each.
        shared = min(8, connections)
        endpoints = ",".join(f"127.0.0.1:{self.port(n)}" for n in self.nodes)
        return [self.client, "-endpoints", endpoints, "-test", test,
                "-connections", str(connections), "-shared", str(shared), "-seconds", str(seconds), "-csv"]


class Redis(System):
    name = "redis"

    @staticmethod
    def port(n):
        return 16379

    def start_node(self, n):
        self.spawn(n, ["redis-server", "--port", "16379", "--bind", "127.0.0.1", "--dir", self.directory, "--save", "",
                       "--appendonly", "yes", "--appendfsync", "always", *self.flags])

    def wait_until_ready(self):
        wait_for("redis answers", lambda: "PONG" in (resp(16379, "PING") or ""), 60)

    def reads(self, n, key):
        return (resp(16379, "GET", key) or "").startswith("$")

    def load(self, test, connections, pipeline, seconds):
        return [os.path.join(BIN, "raftkv-bench"), "--endpoints", "127.0.0.1:16379", "-t", test, "-c", str(connections),
                "-P", str(pipeline), "--seconds", str(seconds), "--csv"]


def canary(directory):
    """Median of a small loop of 4 KiB writes with fdatasync into blocks written before, in microseconds."""
    path = os.path.join(directory, "canary")
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    block = b"c" * 4096
    os.pwrite(fd, block * 64, 0)
    os.fsync(fd)
    times = []
    for i in range(200):
        begin = time.perf_counter()
        os.pwrite(fd, block, 4096 * (i % 64))
        os.fdatasync(fd)
        times.append((time.perf_counter() - begin) * 1e6)
    os.close(fd)
    os.unlink(path)
    return statistics.median(times)


def machine_busy():
    """Seconds that all processors together have been busy."""
    with open("/proc/stat") as f:
        fields = [int(x) for x in f.readline().split()[1:]]
    idle = fields[3] + fields[4]
    return (sum(fields) - idle) / os.sysconf("SC_CLK_TCK")
