"""Ranks on two hosts, which are namespaces of this machine with a network between them."""

import re

from hosts import NAMES, TwoHosts
from launch import PROGRAMS, PYTHON, environment, find_mpirun, is_open_mpi, needs_mpi

pytestmark = needs_mpi

# How soon Open MPI's mpirun notices that the other host is gone: minutes otherwise.
OPEN_MPI_KEEPS_ALIVE = {
    "PRTE_MCA_oob_tcp_keepalive_time": "2",
    "PRTE_MCA_oob_tcp_keepalive_intvl": "1",
    "PRTE_MCA_oob_tcp_keepalive_probes": "3",
}


def start(hosts, *args):
    """Starts the program with two ranks on each host, by an mpirun on the first."""
    if is_open_mpi():
        options = ["--map-by", "ppr:2:node", "--prtemca", "plm_ssh_agent", hosts.ssh]
        options += ["--host", ":2,".join(NAMES) + ":2"]
    else:
        options = ["-launcher", "ssh", "-launcher-exec", hosts.ssh, "-hosts", ",".join(NAMES), "-ppn", "2"]
    command = [*hosts.enter(0), find_mpirun(), *options, "-n", "4", PYTHON, PROGRAMS / "two_hosts.py", *args]
    # UCX would see one machine, and take its memory for shared.
    variables = environment(OPEN_MPI_KEEPS_ALIVE if is_open_mpi() else {"UCX_TLS": "tcp,self"})
    variables["TMPDIR"] = hosts.folder.name  # daemons name files there by process numbers, which begin anew
    return hosts.start(list(map(str, command)), env=variables)


def test_averages_over_two_hosts():
    with TwoHosts(sysfs=not is_open_mpi()) as hosts:
        status, output = hosts.finish(start(hosts), timeout=40)
    assert status == 0 and output.count("RANK DONE") == 4, output[-3000:]


def test_a_cut_link_ends_both_sides(tmp_path):
    with TwoHosts(sysfs=not is_open_mpi()) as hosts:
        job = start(hosts, tmp_path)
        going = 0
        while going < 4:
            line = job.stdout.readline()
            assert line, "the job ended by itself:\n" + "".join(p.read_text() for p in tmp_path.iterdir())
            going += line.count("GOING")
        hosts.cut()
        status, _ = hosts.finish(job, timeout=30)
    assert status != 0 or is_open_mpi()  # its mpirun ends with 0 when it has lost the other host
    texts = [(tmp_path / str(rank)).read_text() for rank in range(4)]
    for rank, text in enumerate(texts):
        assert re.search(r"all_reduce\(AVG.* group 'world' (on rank|timed out)", text), f"rank {rank}: {text}"
    for side, others in ((texts[:2], "2, 3"), (texts[2:], "0, 1")):
        named = rf"ranks? ({others}|{others[0]}|{others[-1]}) did not|other nodes have the ranks {others}\)"
        assert any(re.search(named, text) for text in side), "\n".join(side)
