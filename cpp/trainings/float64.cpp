#include "trainings/trainings.hpp"

namespace shoal {

template SHOAL_TRAINING(double, DescentMethod<double>);
template SHOAL_REDUCED(double, DescentMethod<double>);
template SHOAL_TRAINING(double, FlowMethod);
template SHOAL_REDUCED(double, FlowMethod);

}  // namespace shoal
