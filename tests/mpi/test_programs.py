"""Programs that check themselves on every rank; those of one kind of job share one, as starting ranks takes longest."""

import pytest
from launch import needs_mpi, run_ranks

pytestmark = needs_mpi

NO_SHM = {"NNLIB_DISTRIBUTED_SHM": "0"}
NODES = {"NNLIB_DISTRIBUTED_NODE_SIZE": "2"}  # of one host: even (2 + 2) and uneven (2 + 1)
PARTS = ["zero", "local_sgd", "ddp_rules", "ddp_arguments", "sync_batch_norm_rules", "world_refuses"]

# Name of a job: its ranks, its variables, its programs.
JOBS = {
    "1": (1, {}, ["collectives", "functional", "ddp", "power_sgd", *PARTS, "rpc"]),
    "2": (
        2,
        {},
        ["collectives", "functional", "ddp", "power_sgd", "sync_batch_norm", *PARTS, "rpc", "rpc_notes"],
    ),
    "3": (3, {}, [*PARTS, "rpc", "rpc_ddp"]),
    "4": (4, {}, ["collectives", "functional", "ddp", "ddp_arguments", "sync_batch_norm"]),
    "2, MPI alone": (2, NO_SHM, ["collectives", "ddp", "power_sgd"]),
    "3, MPI alone": (3, NO_SHM, ["collectives"]),
    "2 + 1": (3, NODES, ["nodes", "collectives", "ddp", "zero"]),
    "2 + 2": (4, NODES, ["nodes", "collectives", "ddp"]),
}


@pytest.fixture(scope="module")
def ended(request):
    """ended(job): status and output of a job of the programs whose tests were selected."""
    selected = {
        tuple(item.callspec.params.values()) for item in request.session.items if item.path == request.path
    }
    found = {}

    def run(job):
        if job not in found:
            ranks, env, programs = JOBS[job]
            names = [f"{program}.py" for program in programs if (job, program) in selected]
            found[job] = run_ranks("each.py", ranks, *names, env=env, timeout=120)
        return found[job]

    return run


@pytest.mark.parametrize(
    "job, program", [(job, p) for job, (_, _, programs) in JOBS.items() for p in programs]
)
def test_on_ranks(job, program, ended):
    status, output = ended(job)
    name, ranks = f"{program}.py", JOBS[job][0]
    assert f"BEGUN {name}" in output, f"not reached:\n{output[-500:]}"
    done = output.count(f"DONE {name}\n")
    assert done == ranks, f"status {status}, {done} of {ranks} ranks done:\n{output[-3000:]}"
    if output.rstrip().endswith(f"DONE {name}"):
        assert status == 0, output[-3000:]
