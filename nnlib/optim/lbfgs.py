"""L-BFGS."""

import nnlib

from ._line_search import strong_wolfe
from ._stepwise import check_lr, documented, plain
from .optimizer import Optimizer

__all__ = ["LBFGS"]


@documented
class LBFGS(Optimizer):
    r"""L-BFGS: a quasi-Newton method that keeps the last few changes of parameters and gradients.

    A step runs up to ``max_iter`` iterations. Each estimates the Newton direction by the two-loop recursion
    over the last ``history_size`` pairs and moves along it, by ``lr`` or as far as a line search says. It
    evaluates the closure several times and needs memory for ``history_size + 1`` copies of the parameters.

    Args:
        {params}; there can be one group only
        lr (float or Tensor, optional): step length, or the line search's first guess (default: 1)
        max_iter (int, optional): iterations per step (default: 20)
        max_eval (int, optional): evaluations per step (default: ``max_iter * 1.25``)
        tolerance_grad (float, optional): stop when no gradient entry is larger (default: 1e-7)
        tolerance_change (float, optional): stop when loss or parameters change less (default: 1e-9)
        history_size (int, optional): number of pairs kept (default: 100)
        line_search_fn (str, optional): "strong_wolfe" or None (default: None)

    Raises:
        ValueError: for a negative ``lr`` or more than one group.
        RuntimeError: in a step, for another ``line_search_fn``.

    Example:
        >>> import nnlib as torch
        >>> w = torch.tensor([3.0, -4.0], requires_grad=True)
        >>> opt = torch.optim.LBFGS([w], line_search_fn="strong_wolfe")
        >>> def closure():
        ...     opt.zero_grad()
        ...     loss = ((w - 1) ** 2).sum()
        ...     loss.backward()
        ...     return loss
        >>> first_loss = opt.step(closure)
        >>> bool((w - 1).abs().max() < 1e-4)
        True

    Source: Nocedal, "Updating Quasi-Newton Matrices with Limited Storage", 1980; minFunc by M. Schmidt.
    """

    def __init__(
        self,
        params,
        lr=1,
        max_iter=20,
        max_eval=None,
        tolerance_grad=1e-7,
        tolerance_change=1e-9,
        history_size=100,
        line_search_fn=None,
    ):
        check_lr(lr)
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")

    @property
    def _params(self):
        return self.param_groups[0]["params"]

    def _flat_grad(self):
        grads = []
        for p in self._params:
            if p.grad is None:
                grads.append(nnlib.zeros(p.numel(), dtype=p.dtype))
            else:
                grad = p.grad.to_dense() if p.grad.is_sparse else p.grad
                grads.append(grad.detach().reshape(-1))
        return nnlib.cat(grads, 0)

    def _move(self, length, direction):
        start = 0
        for p in self._params:
            p.add_(direction[start : start + p.numel()].view_as(p), alpha=length)
            start += p.numel()

    def _probe(self, closure, saved, length, direction):
        """Loss and gradient at a step length; the parameters are put back."""
        self._move(length, direction)
        loss = float(closure())
        grad = self._flat_grad()
        for p, value in zip(self._params, saved, strict=True):
            p.copy_(value)
        return loss, grad

    def step(self, closure):
        """Performs one step of up to ``max_iter`` iterations.

        Args:
            closure (callable): computes the loss and its gradients anew and returns the loss.

        Returns:
            The loss before the step.
        """

        def evaluate():
            with nnlib.enable_grad():
                return closure()

        with nnlib.no_grad():
            return self._step(evaluate)

    def _step(self, closure):
        group = self.param_groups[0]
        if group["line_search_fn"] not in (None, "strong_wolfe"):
            raise RuntimeError("only 'strong_wolfe' is supported")
        # The state is global; it is kept with the first parameter so that loading casts its tensors.
        state = self.state[self._params[0]]
        for name in ("func_evals", "n_iter"):
            state.setdefault(name, 0)
        first_loss = closure()
        loss, grad = float(first_loss), self._flat_grad()
        state["func_evals"] += 1
        if _largest(grad) > group["tolerance_grad"]:
            self._iterate(closure, group, state, loss, grad)
        return first_loss

    def _iterate(self, closure, group, state, loss, grad):
        tolerance, evals = group["tolerance_change"], 1
        for n in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            direction = self._direction(state, grad, group["history_size"])
            previous_loss = loss
            state["prev_flat_grad"], state["prev_loss"] = grad, loss
            t = float(plain(group["lr"]))
            if state["n_iter"] == 1:
                t *= min(1.0, 1.0 / grad.abs().sum().item())
            state["d"], state["t"] = direction, t
            slope = grad.dot(direction).item()
            if slope > -tolerance:
                break
            if group["line_search_fn"] is not None:
                saved = [p.clone() for p in self._params]
                loss, grad, t, count = strong_wolfe(
                    lambda length, saved=saved, d=direction: self._probe(closure, saved, length, d),
                    t,
                    direction,
                    loss,
                    grad,
                    slope,
                    max_iter=group["max_eval"] - evals,
                )
                self._move(t, direction)
                state["t"] = t
            else:
                self._move(t, direction)
                count = 0
                if n != group["max_iter"]:
                    # After the last move nothing would use the loss and the gradient.
                    loss, grad, count = float(closure()), self._flat_grad(), 1
            evals += count
            state["func_evals"] += count
            if (
                n == group["max_iter"]
                or evals >= group["max_eval"]
                or _largest(grad) <= group["tolerance_grad"]
                or _largest(direction) * abs(t) <= tolerance
                or abs(loss - previous_loss) < tolerance
            ):
                break

    def _direction(self, state, grad, history_size):
        """The estimate of minus the inverse Hessian times the gradient, after taking in the last move."""
        if state["n_iter"] == 1:
            state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1)
            return grad.neg()
        old_dirs, old_stps, ro = state["old_dirs"], state["old_stps"], state["ro"]
        y = grad.sub(state["prev_flat_grad"])
        s = state["d"].mul(float(state["t"]))
        ys = y.dot(s).item()
        if ys > 1e-10:
            if len(old_dirs) == history_size:
                for history in (old_dirs, old_stps, ro):
                    history.pop(0)
            old_dirs.append(y)
            old_stps.append(s)
            ro.append(1.0 / ys)
            state["H_diag"] = ys / y.dot(y).item()
        q = grad.neg()
        al = state.setdefault("al", [None] * history_size)
        for i in reversed(range(len(old_dirs))):
            al[i] = old_stps[i].dot(q).item() * float(ro[i])
            q.add_(old_dirs[i], alpha=-al[i])
        r = q.mul_(float(state["H_diag"]))
        for i in range(len(old_dirs)):
            beta = old_dirs[i].dot(r).item() * float(ro[i])
            r.add_(old_stps[i], alpha=al[i] - beta)
        return r


def _largest(x):
    return x.abs().max().item()
