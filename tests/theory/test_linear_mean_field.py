"""Linear networks in the mean-field parametrisation: order parameters against all weights, and random networks."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.integrate import quad, solve_ivp

from shoal.theory import LinearMeanField, linear_finite_width, linear_mean_field

TIMES = np.array([0.0, 0.4, 1.5, 4.0])


def regression(seed=0, samples=5, inputs=3):
    draw = np.random.default_rng(seed)
    weight = draw.uniform(0.5, 1.5, samples)
    return SimpleNamespace(
        inputs=draw.normal(size=(samples, inputs)), targets=2 * draw.normal(size=samples),
        sample_weight=weight / weight.sum(),
    )  # fmt: skip


def drawn(networks, nodes, inputs=3, seed=1):
    draw = np.random.default_rng(seed)
    return [draw.normal(size=(networks, nodes, inputs)), draw.normal(size=(networks, 1, nodes))]


def orthogonal(inputs=3, seed=2):
    nodes = inputs + 1
    unit = np.sqrt(nodes) * np.linalg.qr(np.random.default_rng(seed).normal(size=(nodes, nodes)))[0]
    return [unit[None, :, :-1], unit[None, None, :, -1]]


def integrate(task, weights, alpha):
    """Return the weights (times, M, d) and (times, M) of one network, by the gradient of its loss."""
    first, last = weights[0][0], weights[1][0, 0]
    nodes, d = first.shape
    rate = nodes / alpha

    def slope(_, flat):
        w, a = flat[: nodes * d].reshape(nodes, d), flat[nodes * d :]
        hidden = task.inputs @ w.T / np.sqrt(d)
        residual = task.sample_weight * (alpha / nodes * hidden @ a - task.targets)
        by_w = alpha / nodes * np.outer(a, residual @ task.inputs) / np.sqrt(d)
        return -rate * np.concatenate([by_w.ravel(), alpha / nodes * residual @ hidden])

    run = solve_ivp(
        slope, (0, TIMES[-1]), np.concatenate([first.ravel(), last]), "DOP853", t_eval=TIMES, rtol=1e-12, atol=1e-13
    )
    return run.y.T[:, : nodes * d].reshape(-1, nodes, d), run.y.T[:, nodes * d :]


@pytest.mark.parametrize("alpha", [0.3, 1.0, 5.0])
@pytest.mark.parametrize("nodes", [1, 7])
def test_order_parameters_are_those_of_the_weights(alpha, nodes):
    task, weights = regression(), drawn(3, nodes)
    found = linear_mean_field(task, TIMES, alpha, weights)
    for network in range(3):
        w, a = integrate(task, [each[network : network + 1] for each in weights], alpha)
        assert_allclose(found.weight_moments[network], w.swapaxes(1, 2) @ w / nodes, rtol=1e-8, atol=1e-9)
        assert_allclose(found.products[network], np.einsum("tmd,tm->td", w, a) / nodes, rtol=1e-8, atol=1e-9)
        assert_allclose(found.output_moment[network], (a**2).mean(axis=1), rtol=1e-8, atol=1e-9)
        outputs = alpha * np.einsum("tmd,tm,sd->ts", w, a, task.inputs) / nodes / np.sqrt(3)
        assert_allclose(found.outputs(task.inputs)[network], outputs, rtol=1e-8, atol=1e-9)


def test_outputs_and_kernels_are_those_of_torch():
    torch = pytest.importorskip("torch")
    task, weights, alpha, nodes = regression(), drawn(1, 6), 0.7, 6
    found = linear_mean_field(task, TIMES, alpha, weights)
    w, a = (torch.tensor(each[-1], requires_grad=True) for each in integrate(task, weights, alpha))
    outputs = alpha / nodes * (torch.tensor(task.inputs) @ w.T / np.sqrt(3)) @ a
    slopes = [torch.cat([g.ravel() for g in torch.autograd.grad(one, (w, a), retain_graph=True)]) for one in outputs]
    gradients = torch.stack(slopes).numpy()
    assert_allclose(found.outputs(task.inputs)[0, -1], outputs.detach().numpy(), rtol=1e-8, atol=1e-9)
    assert_allclose(found.kernel(task.inputs)[0, -1], nodes / alpha * gradients @ gradients.T, rtol=1e-8, atol=1e-9)


def test_one_input_turns_by_one_angle():
    """With one input b keeps its direction: v = sinh 2g, q = G = cosh 2g, and g' = b."""
    task = SimpleNamespace(inputs=np.array([[1.5]]), targets=np.array([2.0]), sample_weight=np.array([1.0]))
    alpha = 0.6
    angles = np.array([0.2, 0.7, 0.97]) * np.arcsinh(2.0 / (1.5 * alpha)) / 2
    clock = [quad(lambda g: 1 / (1.5 * (2.0 - alpha * 1.5 * np.sinh(2 * g))), 0, angle)[0] for angle in angles]
    found = linear_mean_field(task, clock, alpha)
    assert_allclose(found.products[0, :, 0], np.sinh(2 * angles), rtol=1e-9)
    assert_allclose(found.output_moment[0], np.cosh(2 * angles), rtol=1e-9)
    assert_allclose(found.weight_moments[0, :, 0, 0], np.cosh(2 * angles), rtol=1e-9)


def test_orthogonal_nodes_follow_the_limit():
    task, weights = regression(), orthogonal()
    infinite, few = linear_mean_field(task, TIMES, 0.5), linear_mean_field(task, TIMES, 0.5, weights)
    w, a = integrate(task, weights, 0.5)
    assert_allclose(infinite.products[0], np.einsum("tmd,tm->td", w, a) / 4, rtol=1e-8, atol=1e-9)
    assert_allclose(infinite.kernel(task.inputs), few.kernel(task.inputs), rtol=1e-10, atol=1e-12)
    assert_allclose(infinite.weight_moments[0, 0], np.eye(3))


@pytest.mark.parametrize("alpha", [0.5, 2.0])
def test_scatter_and_bias_are_those_of_random_networks(alpha):
    task, nodes, networks = regression(3), 200, 4000
    found = linear_mean_field(task, TIMES, alpha, drawn(networks, nodes))
    infinite = linear_mean_field(task, TIMES, alpha)
    predicted = linear_finite_width(task, TIMES, task.inputs, alpha)
    for values, limits, scatter, bias in (
        (found.outputs(task.inputs), infinite.outputs(task.inputs), predicted.output_scatter, predicted.output_bias),
        (found.kernel(task.inputs), infinite.kernel(task.inputs), predicted.kernel_scatter, predicted.kernel_bias),
    ):
        # A standard deviation of 4,000 networks is off by 1.1%: five times that, and what is 1/nodes smaller.
        assert_allclose(np.sqrt(nodes) * values.std(axis=0), scatter, rtol=0.08)
        error = scatter / np.sqrt(nodes * networks)
        assert (np.abs(values.mean(axis=0) - limits[0] - bias / nodes) < 5 * error + 1e-12).all()


def test_the_bias_is_half_the_sum_of_second_differences():
    """Of networks whose initial moments are moved by hand: orthogonal nodes, mixed by the root of what is wanted."""
    task, alpha, size = regression(4), 0.5, 0.02
    base = np.concatenate([orthogonal()[0][0], orthogonal()[1][0].T], axis=1)
    total_output, total_slope = np.zeros((4, 5)), np.zeros((4, 5))

    def moved(direction, amount):
        values, vectors = np.linalg.eigh(np.eye(4) + amount * direction)
        mixed = base @ (vectors * np.sqrt(values)) @ vectors.T
        return linear_mean_field(task, TIMES, alpha, [mixed[None, :, :-1], mixed[None, None, :, -1]]).outputs(
            task.inputs
        )[0]

    middle = moved(np.zeros((4, 4)), 0.0)
    for i in range(4):
        for j in range(i + 1):
            direction = np.zeros((4, 4))
            direction[i, j] = direction[j, i] = 1.0
            variance = 2.0 if i == j else 1.0
            up, down = moved(direction, size), moved(direction, -size)
            total_output = total_output + variance * (up + down - 2 * middle) / size**2 / 2
            total_slope = total_slope + variance * ((up - down) / (2 * size)) ** 2
    predicted = linear_finite_width(task, TIMES, task.inputs, alpha)
    assert_allclose(predicted.output_bias, total_output, rtol=0.01, atol=2e-3)
    assert_allclose(predicted.output_scatter, np.sqrt(total_slope), rtol=0.01)


def test_at_initialisation_the_scatter_is_that_of_normal_products():
    task = regression(5)
    x = task.inputs
    found = linear_finite_width(task, [0.0], x, alpha=3.0)
    assert_allclose(found.output_scatter[0], 3 * np.linalg.norm(x, axis=1) / np.sqrt(3), rtol=1e-12)
    # Var of w.x w.x' is |x|^2 |x'|^2 + (x.x')^2, and that of a^2 x.x' is 2 (x.x')^2.
    products, lengths = x @ x.T, (x**2).sum(axis=1)
    assert_allclose(found.kernel_scatter[0], np.sqrt(np.outer(lengths, lengths) + 3 * products**2), rtol=1e-12)
    assert_allclose(found.output_bias[0], 0, atol=1e-8)


def test_times_may_come_in_any_order_and_twice():
    task = regression()
    found = linear_mean_field(task, [2.0, 0.0, 2.0, 1.0])
    again = linear_mean_field(task, [0.0, 1.0, 2.0])
    assert isinstance(found, LinearMeanField)
    assert_allclose(found.products[0, [1, 3, 0]], again.products[0], rtol=1e-9, atol=1e-12)
    assert_allclose(found.products[0, 0], found.products[0, 2], rtol=0)
    assert linear_mean_field(task, []).products.shape == (1, 0, 3)


@pytest.mark.parametrize(
    ("changed", "kind", "message"),
    [
        ({"task": object()}, TypeError, "task must have inputs, targets and sample_weight"),
        ({"alpha": 0.0}, ValueError, "alpha must be positive"),
        ({"times": [-1.0]}, ValueError, "times must lie between 0 and"),
        ({"times": [1e6]}, ValueError, "times must be at most .* of the shortest time constants"),
        ({"weights": [np.ones((1, 2, 4)), np.ones((1, 1, 2))]}, ValueError, "weights must have shapes"),
    ],
)
def test_arguments_are_checked(changed, kind, message):
    with pytest.raises(kind, match=message):
        linear_mean_field(**({"task": regression(), "times": TIMES} | changed))


def test_tasks_and_points_are_checked():
    task = regression()
    task.sample_weight = -task.sample_weight
    with pytest.raises(ValueError, match=r"task\.sample_weight must not be negative"):
        linear_mean_field(task, TIMES)
    with pytest.raises(ValueError, match="points must have 3 inputs, got shape"):
        linear_mean_field(regression(), TIMES).outputs(np.ones((2, 4)))
