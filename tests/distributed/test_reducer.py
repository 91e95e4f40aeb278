"""Buckets and the reducer, on a group without MPI."""

import numpy as np
import pytest
from fake_group import FakeGroup, backward, chain, make_reducer, native, parameters

KIB = 1 << 10


def grads(params):
    return [None if p.grad is None else p.grad.numpy().copy() for p in params]


@pytest.mark.parametrize(
    ("sizes", "limits", "expected"),
    [
        ([256, 256, 256, 256], [1 * KIB, 2 * KIB], [[3], [2, 1], [0]]),
        ([10, 10, 10], [KIB, 25 * KIB], [[2, 1, 0]]),
        ([1000, 1, 1], [KIB, KIB], [[2, 1, 0]]),
        ([300, 300], [KIB, KIB], [[1], [0]]),
    ],
)
def test_buckets_go_backwards_from_a_small_first_one(sizes, limits, expected):
    params = parameters(*sizes)
    order = list(range(len(sizes)))[::-1]
    assert native.assign_buckets(params, order, [False] * len(sizes), limits) == expected


def test_a_sparse_parameter_has_a_bucket_of_its_own():
    params = parameters(4, 4, 4)
    assert native.assign_buckets(params, [2, 1, 0], [False, True, False], [KIB]) == [[2, 0], [1]]


def test_gradients_are_averaged_and_copied_back():
    params = parameters(5, 7, 3)
    with FakeGroup(shift=10.0) as group:
        reducer = make_reducer(params, [[2], [1, 0]], group)
        for step in range(1, 3):
            reducer.prepare_for_backward([])
            backward(chain(params))
            assert group.transport.started == [3, 12] * step
        for i, grad in enumerate(grads(params)):
            np.testing.assert_array_equal(grad, np.full(params[i].shape[0], (i + 1) * 2 + 20.0, np.float32))
        assert reducer.arrivals_known() and reducer.arrival_order() == [2, 1, 0]


def test_the_first_bucket_starts_before_backward_ends():
    params = parameters(8, 8, 8)
    seen = []
    with FakeGroup() as group:
        reducer = make_reducer(params, [[2], [1], [0]], group)
        reducer.prepare_for_backward([])
        # Runs inside backward, before the gradient of the first parameter is there.
        wait = group.transport.first_start.wait
        backward(chain(params, callbacks={0: lambda: seen.append(wait(10.0))}))
        assert seen == [True]
        assert group.transport.started == [8, 8, 8]


def test_buckets_start_in_order_whatever_comes_first():
    params = parameters(1, 2, 3)
    with FakeGroup() as group:
        reducer = make_reducer(params, [[0], [1], [2]], group)  # the last to come is the first bucket
        counts = []
        reducer.prepare_for_backward([])
        backward(chain(params, callbacks={0: lambda: counts.append(reducer.buckets_started())}))
        assert counts == [0] and group.transport.started == [1, 2, 3]


def test_without_prepare_backward_stays_local():
    params = parameters(4, 4)
    with FakeGroup(shift=1.0) as group:
        reducer = make_reducer(params, [[1, 0]], group)
        backward(chain(params))
        assert group.transport.started == []
        reducer.prepare_for_backward([])
        reducer.expect_nothing()
        backward(chain(params))
        assert group.transport.started == []
        reducer.prepare_for_backward([])
        backward(chain(params))  # what has added up is averaged
        np.testing.assert_array_equal(params[0].grad.numpy(), np.full(4, 3.0 + 1.0))


def test_gradients_as_views_of_the_bucket():
    params = parameters(4, 4)
    with FakeGroup(shift=1.0) as group:
        reducer = make_reducer(params, [[1, 0]], group, bucket_view=True)
        for step in range(2):
            reducer.prepare_for_backward([])
            backward(chain(params))
            np.testing.assert_array_equal(params[1].grad.numpy(), np.full(4, (2.0 + 1.0) * (step + 1)))
        assert params[0].grad.data_ptr() - params[1].grad.data_ptr() == 16  # one piece of memory
        params[0].grad = None
        reducer.prepare_for_backward([])
        backward(chain(params))
        np.testing.assert_array_equal(params[0].grad.numpy(), np.full(4, 2.0))


def test_a_parameter_without_gradient_is_named_in_the_next_forward():
    params = parameters(4, 4, 4)
    with FakeGroup() as group:
        reducer = make_reducer(params, [[2, 1, 0]], group)
        reducer.prepare_for_backward([])
        backward(chain([params[0], params[2]]))
        with pytest.raises(RuntimeError, match=r"Expected to have finished reduction.*no gradient: p1\."):
            reducer.prepare_for_backward([])


def test_a_pass_without_backward_is_no_error():
    params = parameters(4)
    with FakeGroup() as group:
        reducer = make_reducer(params, [[0]], group)
        for _ in range(3):
            reducer.prepare_for_backward([])
        backward(chain(params))
        assert group.transport.started == [4]


def test_unused_parameters_are_found_in_the_graph():
    params = parameters(4, 4, 4)
    with FakeGroup() as group:
        reducer = make_reducer(params, [[2, 1, 0]], group, find_unused=True)
        value = chain([params[0], params[2]])
        reducer.prepare_for_backward([value])
        backward(value)
        assert group.transport.started == [12, 3] and group.transport.dtypes == ["float32", "int32"]
        assert params[1].grad is None and params[0].grad is not None


def test_an_undefined_gradient_counts_as_come():
    params = parameters(4, 4)
    with FakeGroup() as group:
        reducer = make_reducer(params, [[1, 0]], group)
        reducer.prepare_for_backward([])
        backward(chain(params, scales=[1.0, None]))
        assert group.transport.started == [8]


def test_two_backward_passes_after_one_forward():
    params = parameters(4, 4)
    with FakeGroup() as group:
        reducer = make_reducer(params, [[1, 0]], group)
        reducer.prepare_for_backward([])
        backward(chain(params[:1]))
        assert group.transport.started == []
        backward(chain(params[1:]))
        assert group.transport.started == [8]


def test_a_second_gradient_in_one_pass_is_an_error_unless_the_graph_is_static():
    params = parameters(4, 4)
    with FakeGroup() as group:
        reducer = make_reducer(params, [[1], [0]], group)
        reducer.prepare_for_backward([])
        backward(chain(params[1:]))
        with pytest.raises(RuntimeError, match="mark a variable ready only once. Parameter p1"):
            backward(chain(params[1:]))


def test_static_graph_learns_from_the_first_pass():
    params = parameters(4, 4, 4)
    with FakeGroup(shift=1.0) as group:
        reducer = make_reducer(params, [[2, 1], [0]], group, static_graph=True)
        assert not reducer.graph_known()
        for step in range(3):
            reducer.prepare_for_backward([])
            backward(chain([params[0], params[2]]))
            assert reducer.graph_known()
            assert len(group.transport.started) == 3 + 2 * step  # usage is asked for once
        assert params[1].grad is None
        np.testing.assert_array_equal(params[2].grad.numpy(), np.full(4, 3 * (2.0 + 1.0)))


def test_a_failed_collective_raises_from_backward():
    params = parameters(4)
    with FakeGroup() as group:
        group.transport.error = RuntimeError("rank 1 has left")
        reducer = make_reducer(params, [[0]], group)
        reducer.prepare_for_backward([])
        with pytest.raises(RuntimeError, match="rank 1 has left"):
            backward(chain(params))


def test_buckets_can_be_rebuilt():
    params = parameters(4, 8)
    with FakeGroup(shift=1.0) as group:
        reducer = make_reducer(params, [[0], [1]], group)
        reducer.prepare_for_backward([])
        backward(chain(params))
        reducer.rebuild([[1, 0]], group.native)
        assert reducer.bucket_sizes() == [48]
        reducer.prepare_for_backward([])
        backward(chain(params))
        assert group.transport.started == [4, 8, 12]
        np.testing.assert_array_equal(params[1].grad.numpy(), np.full(8, 2 * 2.0 + 2.0))
        with pytest.raises(RuntimeError, match="p0 is in no bucket"):
            reducer.rebuild([[1]], group.native)
        with pytest.raises(RuntimeError, match="a parameter in each bucket"):
            reducer.rebuild([[1, 0], []], group.native)


def test_hooks_go_with_the_reducer():
    params = parameters(4)
    with FakeGroup() as group:
        reducer = make_reducer(params, [[0]], group)
        reducer.prepare_for_backward([])
        del reducer
        backward(chain(params))
        assert group.transport.started == []


def test_a_world_of_one_needs_no_queue():
    params = parameters(4)
    with FakeGroup(size=1) as group:
        reducer = make_reducer(params, [[0]], group)
        reducer.prepare_for_backward([])
        backward(chain(params))
        assert group.transport.started == [] and params[0].grad is not None


def test_a_communication_hook_replaces_the_average():
    params = parameters(4, 2)
    seen = []

    def hook(bucket):
        seen.append((bucket.index(), bucket.is_last(), [tuple(g.shape) for g in bucket.gradients()]))
        assert bucket.parameters()[0] is params[1 - bucket.index()]
        bucket.buffer().numpy()[:] *= 2
        bucket._finish(bucket.buffer())

    with FakeGroup() as group:
        reducer = make_reducer(params, [[1], [0]], group)
        reducer.set_comm_hook(hook)
        reducer.prepare_for_backward([])
        backward(chain(params))
        assert seen == [(0, False, [(2,)]), (1, True, [(4,)])]
        assert group.transport.started == []
        np.testing.assert_array_equal(params[1].grad.numpy(), np.full(2, 4.0))


def test_an_error_in_a_communication_hook_raises_from_backward():
    params = parameters(4)

    def hook(bucket):
        raise KeyError("in the hook")

    with FakeGroup() as group:
        reducer = make_reducer(params, [[0]], group)
        reducer.set_comm_hook(hook)
        reducer.prepare_for_backward([])
        with pytest.raises(KeyError, match="in the hook"):
            backward(chain(params))
