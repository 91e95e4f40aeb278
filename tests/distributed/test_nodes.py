"""How ranks are told apart by node, on placements that one host cannot have."""

from types import SimpleNamespace

import pytest

from nnlib.distributed._nodes import Nodes, pretended_size

UNDEFINED = SimpleNamespace(COMM_TYPE_SHARED=0, UNDEFINED=-1)


def place(hosts):
    """The Nodes of each rank, when rank r runs on hosts[r]."""
    ranks = range(len(hosts))
    first = [hosts.index(host) for host in hosts]

    def comm(rank):
        mates = [r for r in ranks if hosts[r] == hosts[rank]]
        inside = SimpleNamespace(rank=mates.index(rank), bcast=lambda value, root: mates[root])
        host = SimpleNamespace(Split=lambda color, key: inside, Free=lambda: None)
        return SimpleNamespace(
            rank=rank,
            Split_type=lambda kind, key: host,
            allgather=lambda value: first,
            Split=lambda color, key: (color, key),
        )

    return [Nodes(comm(rank), UNDEFINED) for rank in ranks]


@pytest.mark.parametrize("hosts", ["aabb", "abab", "aab", "abb", "aaabbc", "abcabca", "aaaab"])
def test_every_signature_has_one_receiver_on_each_node(hosts):
    seen = place(hosts)
    for rank, nodes in enumerate(seen):
        members = [[r for r, host in enumerate(hosts) if host == name] for name in dict.fromkeys(hosts)]
        assert nodes.members == members and rank == nodes.here()[nodes.position]
        assert sorted(nodes.here() + nodes.elsewhere()) == list(range(len(hosts)))
        assert nodes.lanes == min(map(len, members))
        assert nodes.lane == ((nodes.position, nodes.index) if nodes.position < nodes.lanes else None)
        for other in nodes.elsewhere():
            receivers = [r for r in nodes.here() if other in seen[r].receives_from()]
            assert receivers == [nodes.receiver_of(other)]
            assert receivers[0] in seen[other].contacts()
        assert len(nodes.contacts()) == len(members) - 1


def test_the_variable_that_pretends():
    name = "NNLIB_DISTRIBUTED_NODE_SIZE"
    assert pretended_size({}) is None and pretended_size({name: "3"}) == 3
    for text in ("0", "-1", "two", "1.5"):
        with pytest.raises(ValueError, match=f"{name} must be a number of ranks above zero"):
            pretended_size({name: text})
