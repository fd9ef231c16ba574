// The trainings that a module holds. Each dtype has its own file, so that both compile in parallel and only once.
#pragma once

#include "shoal/reduced.hpp"

namespace shoal {

#define SHOAL_TRAINING(T, Method) void train(const Run<T>&, const Method&, Engine, int, const std::function<void(std::int64_t)>&)

#define SHOAL_REDUCED(T, Method) void train_reduced(const Run<T>&, const Method&, const Reduction<T>&, Engine, int, const std::function<void(std::int64_t)>&)

extern template SHOAL_TRAINING(double, DescentMethod<double>);
extern template SHOAL_TRAINING(double, FlowMethod);
extern template SHOAL_TRAINING(float, DescentMethod<float>);
extern template SHOAL_REDUCED(double, DescentMethod<double>);
extern template SHOAL_REDUCED(double, FlowMethod);
extern template SHOAL_REDUCED(float, DescentMethod<float>);

}  // namespace shoal
