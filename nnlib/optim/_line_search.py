"""The line search of L-BFGS: a step length that satisfies the strong Wolfe conditions.

Method: Nocedal and Wright, "Numerical Optimization", 2nd edition, algorithms 3.5 and 3.6, with the
interpolation and the safeguards of minFunc (M. Schmidt) and of PyTorch, so that the iterates agree.
"""

import math
from dataclasses import dataclass


@dataclass
class _Point:
    """One step length with the loss, the gradient and the slope along the direction there."""

    t: float
    loss: float
    grad: object
    slope: float


def _quotient(a, b):
    # As IEEE arithmetic has it: a flat spot gives inf or nan, not an exception.
    if b != 0:
        return a / b
    return math.nan if a == 0 or math.isnan(a) else math.copysign(math.inf, a)


def _cubic_minimum(p, q, bounds=None):
    """Where the cubic through two points and their slopes is smallest, within the bounds."""
    low, high = bounds or (min(p.t, q.t), max(p.t, q.t))
    d1 = p.slope + q.slope - 3 * _quotient(p.loss - q.loss, p.t - q.t)
    radicand = d1 * d1 - p.slope * q.slope
    if not radicand >= 0:
        return (low + high) / 2.0
    if p.t > q.t:
        p, q = q, p
    d2 = math.sqrt(radicand)
    t = q.t - (q.t - p.t) * _quotient(q.slope + d2 - d1, q.slope - p.slope + 2 * d2)
    return min(max(t, low), high)


class _Search:
    def __init__(self, evaluate, direction, loss, grad, slope, c1, c2):
        self.evaluate, self.direction, self.evaluations = evaluate, direction, 0
        self.start = _Point(0, loss, grad, slope)
        self.c1, self.c2 = c1, c2

    def at(self, t):
        loss, grad = self.evaluate(t)
        self.evaluations += 1
        return _Point(t, loss, grad, grad.dot(self.direction).item())

    def too_high(self, point):
        return point.loss > self.start.loss + self.c1 * point.t * self.start.slope

    def flat_enough(self, point):
        return abs(point.slope) <= -self.c2 * self.start.slope

    def bracket(self, t, max_iter):
        """Lengthens the step until two points enclose a good one; returns them and whether one is good."""
        previous, point, iteration = self.start, self.at(t), 0
        while iteration < max_iter:
            if self.too_high(point) or (iteration > 1 and point.loss >= previous.loss):
                return [previous, point], False, iteration
            if self.flat_enough(point):
                return [point], True, iteration
            if point.slope >= 0:
                return [previous, point], False, iteration
            bounds = (point.t + 0.01 * (point.t - previous.t), point.t * 10)
            t = _cubic_minimum(previous, point, bounds)
            previous, point = point, self.at(t)
            iteration += 1
        return [self.start, point], False, iteration


def _safeguarded(t, low, high, stalled):
    """Moves a trial off the ends of the bracket when it made no progress; returns it and the flag."""
    margin = 0.1 * (high - low)
    if min(high - t, t - low) >= margin:
        return t, False
    if stalled or t >= high or t <= low:
        near_high = abs(t - high) < abs(t - low)
        return (high - margin if near_high else low + margin), False
    return t, True


def strong_wolfe(
    evaluate, t, direction, loss, grad, slope, c1=1e-4, c2=0.9, tolerance_change=1e-9, max_iter=25
):
    """Searches a step length along a direction.

    Args:
        evaluate (callable): takes a step length, returns the loss and the flat gradient there.
        t (float): the first step length.
        direction (Tensor): the flat direction.
        loss, grad, slope: the loss, the flat gradient and the slope along the direction at 0.
        c1, c2 (float): the constants of sufficient decrease and of curvature.
        tolerance_change (float): the smallest bracket, times the direction's largest entry.
        max_iter (int): how many points to try.

    Returns:
        The loss, the gradient, the step length and the number of evaluations.
    """
    search = _Search(evaluate, direction, loss, grad, slope, c1, c2)
    size = direction.abs().max().item()
    ends, done, iteration = search.bracket(t, max_iter)
    stalled = False
    low, high = (0, 1) if ends[0].loss <= ends[-1].loss else (1, 0)
    while not done and iteration < max_iter:
        left, right = min(e.t for e in ends), max(e.t for e in ends)
        if (right - left) * size < tolerance_change:
            break
        t, stalled = _safeguarded(_cubic_minimum(*ends), left, right, stalled)
        point = search.at(t)
        iteration += 1
        if search.too_high(point) or point.loss >= ends[low].loss:
            ends[high] = point
            low, high = (0, 1) if ends[0].loss <= ends[1].loss else (1, 0)
            continue
        if search.flat_enough(point):
            done = True
        elif point.slope * (ends[high].t - ends[low].t) >= 0:
            ends[high] = ends[low]
        ends[low] = point
    best = ends[low] if len(ends) > 1 else ends[0]
    return best.loss, best.grad, best.t, search.evaluations
