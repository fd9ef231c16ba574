"""How far the tangent kernel moves while networks learn XOR: the larger the output scale, the less."""

import matplotlib.pyplot as plt

import shoal

record, flow = shoal.Record(measure=("tangent_kernel", "kernel_distance")), shoal.GradientFlow(t_end=10.0)
for alpha in (1, 10, 100):
    network = shoal.Network.mean_field(2, 64, alpha, centred=True)
    data = shoal.train(network, shoal.tasks.xor(), shoal.Gaussian(1.0), method=flow, record=record, networks=50)
    size, distance = data.tangent_kernel[:, :, 0, 0].mean("network"), data.kernel_distance.mean("network")
    print(f"alpha {alpha:3}: K(x, x) from {size[0]:.2f} to {size[-1]:.2f}, 1 - cosine {distance[-1]:.1e}")
    plt.semilogy(data.time[1:], distance[1:], label=f"alpha = {alpha}")
plt.legend(), plt.xlabel("time"), plt.ylabel("1 - cosine to the kernel at initialisation"), plt.show()
