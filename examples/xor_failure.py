"""How probable it is that a network of four hidden units fails to learn XOR, with a 95% interval."""

import shoal

kept = shoal.Statistics(events=("error > 0",), confidence=0.95)
method = shoal.GradientDescent(learning_rate=0.5, steps=2000, stop="fitted")
record = shoal.Record(steps=[0, 2000], measure=("error",), reduce=kept)
network, init = shoal.Network((2, 4, 1)), shoal.Gaussian(gain=1.0)
data = shoal.train(network, shoal.tasks.xor(), init, method=method, record=record, networks=20_000)
last = data.isel(time=-1, event=0)
print(f"{float(last.event_fraction):.4f} ({float(last.event_low):.4f} to {float(last.event_high):.4f})")
