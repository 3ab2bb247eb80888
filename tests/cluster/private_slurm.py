"""A private Slurm of two nodes on this host: its own key, ports and folders, no systemd."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent

NODES = {"n1": "left", "n2": "right"}  # each with a feature that a constraint can name
STARTS_WITHIN_S = 60.0
CONFIGURATION = """
    ClusterName=test
    SlurmctldHost={host}(127.0.0.1)
    SlurmctldPort={controller_port}
    SlurmUser=root
    SlurmdUser=root
    AuthType=auth/munge
    AuthInfo=socket={work}/munge.socket,cred_expire=5
    CryptoType=crypto/munge
    StateSaveLocation={work}/state
    SlurmdSpoolDir={work}/spool-%n
    SlurmctldPidFile={work}/slurmctld.pid
    SlurmdPidFile={work}/slurmd-%n.pid
    SlurmctldLogFile={work}/slurmctld.log
    SlurmdLogFile={work}/slurmd-%n.log
    ProctrackType=proctrack/linuxproc
    TaskPlugin=task/none
    JobAcctGatherType=jobacct_gather/none
    AccountingStorageType=accounting_storage/none
    SelectType=select/cons_tres
    SelectTypeParameters=CR_CPU
    SlurmdParameters=config_overrides
    SchedulerParameters=bf_interval=1,sched_interval=1,batch_sched_delay=0
    PreemptType=preempt/partition_prio
    PreemptMode=REQUEUE
    ReturnToService=2
    SlurmdTimeout=10
    KillWait=5
    MpiDefault=none
    MaxArraySize=11
    GresTypes=gpu
    {nodes}
    PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1
    PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=2
"""
NODE = (
    "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=2 RealMemory=4000 "
    "Features={feature} Gres=gpu:1 State=UNKNOWN"
)


@dataclass
class Slurm:
    """Two nodes, two partitions (main, and urgent, which preempts it)."""

    work: Path
    environment: dict[str, str]
    daemons: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def run(self, *words: str) -> str:
        """What a Slurm command prints. Raises CalledProcessError."""
        return subprocess.run(
            words, env=self.environment, text=True, capture_output=True, check=True
        ).stdout

    def jobs(self) -> dict[str, str]:
        """The state of each job that is queued or running, by its id."""
        lines = self.run("squeue", "-h", "-r", "-o", "%i %T").splitlines()
        return dict(line.split() for line in lines)  # type: ignore[misc]

    def start_node(self, name: str, *prefix: str) -> None:
        """``prefix`` is a program that starts the daemon in its turn."""
        self.daemons[name] = self._start(*prefix, "/usr/sbin/slurmd", "-D", "-N", name)

    @contextmanager
    def other_node(self, name: str, *prefix: str) -> Iterator[None]:
        """Another daemon in place of a node's, for a while."""
        self.kill_node(name)
        self.start_node(name, *prefix)
        yield
        self.kill_node(name)
        self.start_node(name)

    def kill_node(self, name: str) -> None:
        """Kill a node's daemon and all processes of its jobs, as a loss of power does."""
        daemon = self.daemons.pop(name)
        daemon.kill()
        daemon.wait()
        ours = f"SLURM_CONF={self.work}/slurm.conf"  # another test may have a Slurm of its own
        for step in processes_with(ours, f"SLURMD_NODENAME={name}"):
            os.kill(step, signal.SIGKILL)

    def _start(self, *words: str) -> subprocess.Popen[bytes]:
        with (self.work / "daemons.log").open("ab") as log:
            mortal = ("setpriv", "--pdeathsig=KILL", *words)  # if the tests are killed
            return subprocess.Popen(mortal, stdout=log, stderr=log, env=self.environment)


def processes_with(*variables: str) -> Iterator[int]:
    """The processes whose environment has all of these."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if all(variable.encode() in environment for variable in variables):
            yield int(folder.name)


@contextmanager
def private_slurm() -> Iterator[Slurm]:
    """Start munge, the controller and two nodes; end all of them, and their jobs, afterwards."""
    work = Path(tempfile.mkdtemp(prefix="slurm-"))
    (work / "state").mkdir()
    (work / "munge.key").write_bytes(secrets.token_bytes(128))
    (work / "munge.key").chmod(0o600)
    host = socket.gethostname().partition(".")[0]
    ports = _free_ports(1 + len(NODES))
    nodes = [
        NODE.format(name=name, host=host, port=port, feature=feature)
        for (name, feature), port in zip(NODES.items(), ports[1:], strict=True)
    ]
    configuration = dedent(CONFIGURATION).format(
        host=host, controller_port=ports[0], work=work, nodes="\n".join(nodes)
    )
    (work / "slurm.conf").write_text(configuration)
    gres = [f"NodeName={name} Name=gpu File=/dev/tty{n}" for n, name in enumerate(NODES)]
    (work / "gres.conf").write_text("\n".join(gres) + "\n")
    slurm = Slurm(work, {**os.environ, "SLURM_CONF": str(work / "slurm.conf")})
    try:
        slurm.daemons["munged"] = slurm._start(
            "/usr/sbin/munged",
            "--foreground",
            "--force",
            f"--key-file={work}/munge.key",
            f"--socket={work}/munge.socket",
            f"--pid-file={work}/munge.pid",
            f"--log-file={work}/munge.log",
            f"--seed-file={work}/munge.seed",
        )
        _wait_until((work / "munge.socket").exists, slurm)
        slurm.daemons["slurmctld"] = slurm._start("/usr/sbin/slurmctld", "-D", "-c")
        for name in NODES:
            slurm.start_node(name)
        _wait_until(lambda: _idle_nodes(slurm) == len(NODES), slurm)
        yield slurm
    finally:
        for process in processes_with(f"SLURM_CONF={work}/slurm.conf"):
            if process != os.getpid():
                os.kill(process, signal.SIGKILL)
        for daemon in slurm.daemons.values():
            daemon.kill()
            daemon.wait()
        shutil.rmtree(work)


def _idle_nodes(slurm: Slurm) -> int:
    try:
        return len(slurm.run("sinfo", "-h", "-N", "-t", "idle", "-p", "main", "-o", "%n").split())
    except subprocess.CalledProcessError:  # the controller does not answer yet
        return 0


def _wait_until(is_ready: Callable[[], bool], slurm: Slurm) -> None:
    deadline = time.monotonic() + STARTS_WITHIN_S
    while not is_ready():
        ended = [name for name, daemon in slurm.daemons.items() if daemon.poll() is not None]
        if ended or time.monotonic() > deadline:
            logs = "\n".join(path.read_text()[-1500:] for path in slurm.work.glob("*.log"))
            raise RuntimeError(f"Slurm does not start (ended: {ended}):\n{logs}")
        time.sleep(0.1)


def _free_ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
