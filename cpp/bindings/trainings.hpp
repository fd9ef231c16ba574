// The trainings that a module holds. Each dtype has a file of its own, so that they are compiled side by side and once.
#pragma once

#include "shoal/train.hpp"

namespace shoal {

#define SHOAL_TRAINING(T, Method) void train(const Run<T>&, const Method&, Engine, int, const std::function<void(std::int64_t)>&)

extern template SHOAL_TRAINING(double, DescentMethod<double>);
extern template SHOAL_TRAINING(double, FlowMethod);
extern template SHOAL_TRAINING(float, DescentMethod<float>);

}  // namespace shoal
