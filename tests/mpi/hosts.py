"""Two hosts on one machine: namespaces with a network, a host name, processes and a /dev/shm of their own."""

import functools
import os
import shlex
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

NAMES = ("nnlib-a", "nnlib-b")
ADDRESSES = ("10.213.77.1", "10.213.77.2")
# The launcher runs on the first host and has to see the second one's processes to get there.
SPACES = (("--net", "--uts", "--mount"), ("--net", "--uts", "--mount", "--pid"))


@functools.cache
def why_no_hosts():
    """Why hosts cannot be made here, or None."""
    for tool, package in (("ip", "iproute2"), ("unshare", "util-linux"), ("nsenter", "util-linux")):
        if subprocess.run(["sh", "-c", f"command -v {tool}"], capture_output=True).returncode != 0:
            return f"{tool} is not installed ({package})"
    trial = "ip link add v0 type veth peer name v1 && hostname nnlib-trial && mount -t tmpfs none /dev/shm"
    trial += " && mount -t sysfs none /sys"
    made = subprocess.run(
        ["unshare", *SPACES[1], "--fork", "sh", "-c", trial], capture_output=True, text=True
    )
    return None if made.returncode == 0 else f"namespaces are not permitted here: {made.stderr.strip()}"


class TwoHosts:
    """`with TwoHosts() as hosts:`; everything in them ends with the block.

    hosts.mpirun is what a command starts with to run on the first one, hosts.ssh a program that starts
    commands on any of them, for launchers.
    """

    def __init__(self, sysfs=True):
        self.sysfs = sysfs  # one that shows the network of the host, where MPI looks for devices there
        if why_no_hosts() is not None:
            pytest.skip(why_no_hosts())

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.keepers, self.jobs = [], []
        try:
            self._make(Path(self.folder.name))
        except BaseException:
            self.__exit__()
            raise
        return self

    def _make(self, folder):
        names = "".join(f"{address} {name}\n" for address, name in zip(ADDRESSES, NAMES, strict=True))
        (folder / "hosts").write_text("127.0.0.1 localhost\n" + names)
        for host in (0, 1):
            self.keepers.append(self._start(host, folder / "hosts"))
        self.inits = [self._init_of(keeper) for keeper in self.keepers]
        pair = [
            "veth",
            "netns",
            str(self.inits[0]),
            "type",
            "veth",
            "peer",
            "name",
            "veth",
            "netns",
            str(self.inits[1]),
        ]
        subprocess.run(["ip", "link", "add", *pair], check=True)
        for host, address in enumerate(ADDRESSES):
            self.run(host, "ip", "addr", "add", f"{address}/24", "dev", "veth")
            self.run(host, "ip", "link", "set", "veth", "up")
        for host in (0, 1):
            self._wait_for_link(host)
        self.ssh = folder / "ssh"
        cases = "".join(
            f"{name}) enter='{shlex.join(self.enter(host))}' ;;\n" for host, name in enumerate(NAMES)
        )
        self.ssh.write_text(
            "#!/bin/sh\n# ssh [OPTIONS] HOST COMMAND: runs the command in the namespaces of a host\n"
            'while :; do case "$1" in -*) shift ;; *) break ;; esac; done\n'
            f'case "$1" in\n{cases}*) echo "ssh: no host $1" >&2; exit 255 ;;\nesac\n'
            'shift; exec $enter sh -c "$*"\n'
        )
        self.ssh.chmod(0o755)

    def _start(self, host, names):
        """A process that keeps the namespaces of a host; its end is the end of all on the second one."""
        setup = f"hostname {NAMES[host]} && mount --bind {names} /etc/hosts && mount -t tmpfs none /dev/shm"
        if self.sysfs:
            setup += " && mount -t sysfs none /sys"
        own = ["--mount-proc"] if "--pid" in SPACES[host] else []
        command = ["unshare", *SPACES[host], "--fork", "--kill-child", *own, "sh", "-c"]
        command.append(f"{setup} && ip link set lo up && echo ready && exec sleep 600")
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    @staticmethod
    def _init_of(keeper):
        assert keeper.stdout.readline() == "ready\n"
        return int(Path(f"/proc/{keeper.pid}/task/{keeper.pid}/children").read_text())

    def enter(self, host):
        """What a command starts with to run on a host."""
        return ["nsenter", "--target", str(self.inits[host]), *SPACES[host]]

    def run(self, host, *command):
        """Runs a command on a host."""
        subprocess.run([*self.enter(host), *command], check=True)

    def _wait_for_link(self, host):
        """Waits until the link runs: Linux may say so a second late, and MPI takes no device that doesn't run."""
        ends = time.monotonic() + 10
        command = [*self.enter(host), "ip", "-oneline", "link", "show", "veth"]
        while " state UP " not in (shown := subprocess.check_output(command, text=True)):
            assert time.monotonic() < ends, f"the link of {NAMES[host]} does not come up: {shown}"
            time.sleep(0.05)

    def cut(self):
        """Takes the link between them down."""
        self.run(1, "ip", "link", "set", "veth", "down")

    def start(self, command, env):
        """Starts a launcher on the first host."""
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        self.jobs.append(subprocess.Popen(command, env=env, start_new_session=True, **streams))
        return self.jobs[-1]

    def finish(self, job, timeout):
        """Its exit status and output, when it is over: what it left on the second host may keep the output open."""
        try:
            job.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(job.pid, signal.SIGKILL)
        for keeper in self.keepers:
            keeper.kill()
        output, _ = job.communicate(timeout=10)
        assert job.returncode != -signal.SIGKILL, f"not over after {timeout} s:\n{output[-3000:]}"
        return job.returncode, output

    def __exit__(self, *error):
        for job in self.jobs:
            if job.poll() is None:
                os.killpg(job.pid, signal.SIGKILL)
        for process in (*self.keepers, *self.jobs):
            process.kill()
            process.wait()
            process.stdout.close()
        self.folder.cleanup()
